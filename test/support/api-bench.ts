/** The API over real HTTP on a port of its own, with a real SQLite mirror and doubles for the rest. */
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';
import { createApp } from '../../src/api/app.js';
import type { ApiDeps, ApiSettings } from '../../src/api/context.js';
import { ServiceError } from '../../src/jobs/error-codes.js';
import type { JobEvent, StoredEventType } from '../../src/jobs/event.js';
import type { JobHeader, JobSnapshot } from '../../src/jobs/job.js';
import { initialSnapshot } from '../../src/jobs/snapshot.js';
import type { Mirror } from '../../src/mirror/mirror.js';
import { createSqliteMirror } from '../../src/mirror/sqlite/sqlite-mirror.js';
import { createLogger } from '../../src/telemetry/log.js';
import { createFolderStore, type FolderStore } from './doubles/folder-store.js';
import { createMemoryEngine, type MemoryEngine } from './doubles/memory-engine.js';
import { createMemoryProvider, type MemoryProvider } from './doubles/memory-provider.js';

export const guideRequest = {
  job_type: 'search_download',
  provider: 'copernicus',
  collection: 'SENTINEL-2',
  product_type: 'S2MSI2A',
  start_date: '2025-01-01',
  end_date: '2025-01-03',
  aoi: { wkt: 'POLYGON((-7.8 33.4,-7.2 33.4,-7.2 33.8,-7.8 33.8,-7.8 33.4))' },
};

export interface ApiBench {
  url: string;
  mirror: Mirror;
  /** While true every call of the mirror fails as a lost database does. */
  mirrorDown: (down: boolean) => void;
  engine: MemoryEngine;
  provider: MemoryProvider;
  store: FolderStore;
  deps: ApiDeps;
  server: Server;
  get(path: string, headers?: Record<string, string>): Promise<Response>;
  post(path: string, body?: unknown, headers?: Record<string, string>): Promise<Response>;
  /** Submits and returns the job's id. */
  submit(changes?: Record<string, unknown>): Promise<string>;
  /** Writes the job's next event, as its workflow would. */
  tell(
    jobId: string,
    type: StoredEventType,
    change?: Partial<JobSnapshot>,
    data?: JobEvent['data'],
  ): Promise<JobEvent>;
  /** An event that names a stored file. */
  putFileEvent(jobId: string, path: string, bytes?: number): Promise<void>;
  /** A final file with an event that says so. */
  putFile(jobId: string, path: string, content: Buffer): Promise<void>;
}

export interface BenchOptions {
  settings?: Partial<ApiSettings>;
  timings?: ApiDeps['timings'];
  now?: () => number;
}

export async function startApiBench(options: BenchOptions = {}): Promise<ApiBench> {
  const directory = await mkdtemp(join(tmpdir(), 'nimbus-api-'));
  const sqlite = createSqliteMirror({ path: join(directory, 'mirror.db') });
  await sqlite.prepare();
  const { mirror, setDown } = withSwitch(sqlite);
  const engine = createMemoryEngine();
  const provider = createMemoryProvider();
  const store = createFolderStore(join(directory, 'data'));
  const deps: ApiDeps = {
    mirror,
    engine,
    providers: new Map([[provider.id, provider]]),
    store,
    logger: createLogger({ level: 'silent', role: 'test', version: '0' }),
    version: '0.0.0-test',
    settings: {
      key: null,
      corsOrigins: [],
      maxRequestBytes: 2 * 1024 * 1024,
      metrics: true,
      ...options.settings,
    },
    ...(options.timings ? { timings: options.timings } : {}),
    ...(options.now ? { now: options.now } : {}),
  };
  const { app, endStreams } = createApp(deps);
  const server = createServer({ maxHeaderSize: 2 * 1024 * 1024 }, app);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    endStreams();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await sqlite.close();
    await rm(directory, { recursive: true, force: true });
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  const bench: ApiBench = {
    url,
    mirror: sqlite,
    mirrorDown: setDown,
    engine,
    provider,
    store,
    deps,
    server,
    get: (path, headers = {}) => fetch(`${url}${path}`, { headers }),
    post: (path, body, headers = {}) =>
      fetch(`${url}${path}`, {
        method: 'POST',
        headers: {
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
    async submit(changes = {}) {
      const answer = await bench.post('/v1/jobs', { ...guideRequest, ...changes });
      if (answer.status !== 202) throw new Error(`submit answered ${await answer.text()}`);
      return ((await answer.json()) as { job_id: string }).job_id;
    },
    tell: (jobId, type, change = {}, data = {}) => tell(sqlite, jobId, type, change, data),
    async putFileEvent(jobId, path, bytes = 0) {
      const digest = { algorithm: 'md5', value: 'd41d8cd98f00b204e9800998ecf8427e' };
      const artifact = {
        path,
        bytes,
        checksum: { ...digest, level: 'provider' },
        digests: [digest],
        media_type: 'application/octet-stream',
      };
      const stored = { product_id: path, name: path, bytes, bytes_fetched: bytes };
      const data = { ...stored, artifacts: [artifact] };
      await bench.tell(jobId, 'product.completed', {}, data);
    },
    async putFile(jobId, path, content) {
      await mkdir(dirname(join(store.root, path)), { recursive: true });
      await writeFile(join(store.root, path), content);
      await bench.putFileEvent(jobId, path, content.length);
    },
  };
  return bench;
}

async function tell(
  mirror: Mirror,
  jobId: string,
  type: StoredEventType,
  change: Partial<JobSnapshot>,
  data: JobEvent['data'],
): Promise<JobEvent> {
  const { header, snapshot } = (await mirror.getJob(jobId))!;
  const at = new Date().toISOString();
  const event = { job_id: jobId, number: snapshot.version + 1, type, at, data };
  const next = { ...snapshot, ...change, version: event.number, updated_at: at };
  await mirror.apply({ header, snapshot: next, events: [event] });
  return event;
}

/** A job straight into the mirror, as if it had been submitted long ago. */
export async function mirrorJob(mirror: Mirror, header: JobHeader): Promise<void> {
  const at = header.created_at;
  await mirror.apply({
    header,
    snapshot: { ...initialSnapshot(at), version: 1 },
    events: [{ job_id: header.job_id, number: 1, type: 'job.queued', at, data: {} }],
  });
}

function withSwitch(mirror: Mirror): { mirror: Mirror; setDown: (down: boolean) => void } {
  let down = false;
  const switched = new Proxy(mirror, {
    get(target, name: keyof Mirror) {
      const member = target[name];
      if (typeof member !== 'function') return member;
      return (...args: unknown[]) =>
        down
          ? Promise.reject(new ServiceError('StoreUnavailable', 'The mirror does not answer'))
          : (member as (...all: unknown[]) => unknown).apply(target, args);
    },
  });
  return { mirror: switched, setDown: (to) => (down = to) };
}
