/** The Copernicus adapter against the sandbox's Copernicus. */
import { parseAoi } from '../../src/geo/parse-aoi.js';
import { searchDownloadRequestSchema } from '../../src/jobs/request.js';
import { systemClock, type Clock } from '../../src/providers/copernicus/clock.js';
import { createCopernicus } from '../../src/providers/copernicus/copernicus.provider.js';
import { createSandbox } from '../../src/sandbox/sandbox.js';
import { describeProvider, type ProviderHarness } from './provider.contract.js';

const AREA = 'POLYGON((-7.8 33.4,-7.2 33.4,-7.2 33.8,-7.8 33.8,-7.8 33.4))';
const TIME =
  'ContentDate/Start ge 2025-01-01T00:00:00Z and ContentDate/Start lt 2025-01-16T00:00:00Z';
const FILTER = `Collection/Name eq 'SENTINEL-2' and ${TIME}`;

/** Waits a hundredth of what is asked for. */
const hurried: Clock = {
  ...systemClock,
  sleep: (ms, signal) => systemClock.sleep(ms / 100, signal),
};

async function create(): Promise<ProviderHarness> {
  const sandbox = await createSandbox({ scale: 0.0002, products: 2000 });
  const { username, password } = sandbox;
  const make = (changes: { password?: string | null; baseUrl?: string } = {}) =>
    createCopernicus({
      baseUrl: sandbox.baseUrl,
      downloadUrl: sandbox.downloadUrl,
      tokenUrl: sandbox.tokenUrl,
      username,
      password,
      connections: 4,
      clock: hurried,
      pageSize: 25,
      skipMax: 100,
      ...changes,
    });
  const idsOf = async (filter: string) =>
    (await sandbox.products({ filter, limit: 10_000 })).map(({ id }) => id);
  const all = await sandbox.products({ filter: FILTER, limit: 10_000 });
  const chosen = all.find(({ online }) => online)!;
  const [online] = await sandbox.products({ id: chosen.id, digests: true });
  return {
    provider: make(),
    request: searchDownloadRequestSchema.parse({
      provider: 'copernicus',
      collection: 'SENTINEL-2',
      start_date: '2025-01-01',
      end_date: '2025-01-15',
      aoi: { wkt: AREA },
    }),
    aoi: parseAoi({ wkt: AREA })!,
    matching: await idsOf(`${FILTER} and OData.CSC.Intersects(area=geography'SRID=4326;${AREA}')`),
    matchingEverywhere: await idsOf(FILTER),
    online: { ...online!, sha256: online!.sha256! },
    offline: all.find((product) => !product.online)!,
    failCatalogue({ status, headers = {}, body = '' }, times) {
      sandbox.script([
        {
          match: { server: 'catalogue', path: '/Products$', times },
          action: { status, headers, body },
        },
      ]);
    },
    logins: () => sandbox.ledger().logins + sandbox.ledger().loginsRefused,
    withPassword: (changed) => make({ password: changed }),
    unreachable: () => make({ baseUrl: 'http://127.0.0.1:9' }),
    close: () => sandbox.close(),
  };
}

describeProvider({ name: 'copernicus', create });
