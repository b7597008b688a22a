/**
 * Clients that other people wrote, run against the sandbox: they must find what is there and fetch the true bytes.
 * Needs Python with venv and pip once; skipped with the reason where that is not to be had.
 */
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createSandbox, type Sandbox } from '../../src/sandbox/sandbox.js';
import { clientsPython, run } from '../support/clients/venv.js';

const scripts = fileURLToPath(new URL('../support/clients', import.meta.url));
const found = await clientsPython();
const reason = 'reason' in found ? found.reason : '';
const python = 'python' in found ? found.python : '';

const filter = [
  "Collection/Name eq 'SENTINEL-2'",
  "Attributes/OData.CSC.StringAttribute/any(att:att/Name eq 'productType' and att/OData.CSC.StringAttribute/Value eq 'S2MSI2A')",
  "OData.CSC.Intersects(area=geography'SRID=4326;POLYGON((-7.8 33.4,-7.2 33.4,-7.2 33.8,-7.8 33.8,-7.8 33.4))')",
  'ContentDate/Start ge 2025-01-01 and ContentDate/Start lt 2025-01-09',
].join(' and ');

interface ClientReport {
  count?: number;
  ids: string[];
  titles: string[];
  files: string[];
  refused: string[];
}

describe.skipIf(reason !== '')(
  `real clients against the sandbox${reason && ` (${reason})`}`,
  () => {
    let sandbox: Sandbox;
    let scratch: string;
    let output: string;

    beforeAll(async () => {
      sandbox = await createSandbox({ products: 400, scale: 0.0005 });
    });
    afterAll(() => sandbox.close());
    beforeEach(() => {
      scratch = mkdtempSync(join(tmpdir(), 'nimbus-clients-'));
      output = mkdtempSync(join(scratch, 'output-'));
      sandbox.resetLedger();
      sandbox.configure({ tokenLifetimeSeconds: 600 });
    });
    afterEach(() => rmSync(scratch, { recursive: true, force: true }));

    async function client(script: string, args: string[]): Promise<ClientReport> {
      const { baseUrl, downloadUrl, username, password } = sandbox;
      const ran = await run(python, [join(scripts, script), ...args], {
        cwd: scratch,
        timeoutMs: 170_000,
        env: {
          PATH: process.env['PATH'],
          HOME: scratch,
          PYTHONDONTWRITEBYTECODE: '1',
          OUTPUT: output,
          SANDBOX_BASE: baseUrl,
          SANDBOX_DOWNLOAD: downloadUrl,
          SANDBOX_USER: username,
          SANDBOX_PASSWORD: password,
          EODAG_PROVIDERS_WHITELIST: '["cop_dataspace"]',
          EODAG_EXT_COLLECTIONS_CFG_URI: '',
          EODAG_CFG_DIR: scratch,
          EODAG__COP_DATASPACE__SEARCH__API_ENDPOINT: `${baseUrl}/odata/v1/Products`,
          EODAG__COP_DATASPACE__SEARCH__METADATA_MAPPING__EODAG_DOWNLOAD_LINK: `${baseUrl}/odata/v1/Products({uid})/$value`,
          EODAG__COP_DATASPACE__AUTH__OIDC_CONFIG_URL: `${baseUrl}/auth/realms/CDSE/.well-known/openid-configuration`,
          EODAG__COP_DATASPACE__AUTH__MATCHING_URL: baseUrl,
          EODAG__COP_DATASPACE__AUTH__CREDENTIALS__USERNAME: username,
          EODAG__COP_DATASPACE__AUTH__CREDENTIALS__PASSWORD: password,
        },
      });
      expect(ran.code, ran.stderr).toBe(0);
      const report = JSON.parse(ran.stdout.trim().split('\n').at(-1)!) as ClientReport;
      expect(report.refused).toEqual([]);
      return report;
    }

    async function expectTrueFiles(paths: string[], ids: string[]): Promise<void> {
      for (const [at, path] of paths.entries()) {
        const [truth] = await sandbox.products({ id: ids[at]!, digests: true });
        const digest = createHash('sha256').update(readFileSync(path)).digest('hex');
        expect(digest, path).toBe(truth!.sha256);
      }
    }

    it('eodag finds every product and downloads one exactly', async () => {
      const truth = await sandbox.products({ filter });
      const report = await client('eodag_client.py', ['2025-01-01', '2025-01-09', '0', '1']);
      expect(truth.length).toBeGreaterThan(4);
      expect(report.count).toBe(truth.length);
      expect(report.ids.toSorted()).toEqual(truth.map(({ id }) => id).toSorted());
      expect(report.titles.toSorted()).toEqual(
        truth.map(({ name }) => name.replace('.SAFE', '')).toSorted(),
      );
      expect(report.files).toHaveLength(1);
      await expectTrueFiles(report.files, report.ids);
    });

    it('eodag renews its token when tokens live three seconds', async () => {
      sandbox.configure({ tokenLifetimeSeconds: 3 });
      const report = await client('eodag_client.py', ['2025-01-01', '2025-01-04', '3.5', '3']);
      expect(report.files).toHaveLength(3);
      await expectTrueFiles(report.files, report.ids);
      const { logins, refreshes } = sandbox.ledger();
      expect(logins + refreshes).toBeGreaterThan(1);
    });

    it('CDSETool finds every product and downloads one exactly', async () => {
      const truth = await sandbox.products({ filter });
      const report = await client('cdsetool_client.py', ['2025-01-01', '2025-01-09', '0', '1']);
      expect(report.ids.toSorted()).toEqual(truth.map(({ id }) => id).toSorted());
      expect(report.titles.toSorted()).toEqual(truth.map(({ name }) => name).toSorted());
      await expectTrueFiles(
        report.files.map((name) => join(output, name)),
        report.ids,
      );
    });

    it('CDSETool refreshes its token when tokens live three seconds', async () => {
      sandbox.configure({ tokenLifetimeSeconds: 3 });
      const report = await client('cdsetool_client.py', ['2025-01-01', '2025-01-04', '3.5', '3']);
      await expectTrueFiles(
        report.files.map((name) => join(output, name)),
        report.ids,
      );
      const { logins, refreshes } = sandbox.ledger();
      expect(logins).toBe(1);
      expect(refreshes).toBeGreaterThan(0);
    });

    it('CDSETool fetches single files by pattern, as the manifest lists them', async () => {
      const report = await client('cdsetool_client.py', [
        '2025-01-01',
        '2025-01-04',
        '0',
        '1',
        '*B04*',
      ]);
      expect(report.files).toHaveLength(1);
      const product = join(output, report.files[0]!);
      const files = (readdirSync(product, { recursive: true }) as string[]).filter((path) =>
        statSync(join(product, path)).isFile(),
      );
      expect(files.map((path) => basename(path).slice(-11)).toSorted()).toEqual([
        'B04_10m.jp2',
        'B04_20m.jp2',
        'B04_60m.jp2',
      ]);
      const whole = await client('cdsetool_client.py', ['2025-01-01', '2025-01-04', '0', '1']);
      const zip = readFileSync(join(output, whole.files[0]!));
      for (const path of files) expect(zip.includes(readFileSync(join(product, path)))).toBe(true);
    });
  },
);
