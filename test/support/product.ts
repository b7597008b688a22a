/**
 * The whole product as separate real processes: Temporal, mongod, API, workers, and the sandbox as the provider. Every
 * part can be killed and started again; its ledger and its truth judge what happened.
 */
import { randomUUID } from 'node:crypto';
import { createHash } from 'node:crypto';
import { createReadStream, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Job } from '../../src/jobs/job.js';
import type { JobEvent } from '../../src/jobs/event.js';
import type { JobResult } from '../../src/jobs/result.js';
import type { SearchDownloadInput } from '../../src/jobs/request.js';
import { createSandbox, type Sandbox, type SandboxOptions } from '../../src/sandbox/sandbox.js';
import { freePorts } from '../../src/cli/local/ports.js';
import { supervise, type SupervisedProcess } from '../../src/cli/local/supervised-process.js';
import { startMongod, startTemporal, type TestMongod, type TestTemporal } from './stack.js';
import { guidePolygon } from './products.js';

const nimbus = fileURLToPath(new URL('../../bin/nimbus.mjs', import.meta.url));

export interface ProductOptions {
  sandbox?: Partial<SandboxOptions>;
  workers?: number;
  env?: Record<string, string>;
  backend?: 'mongodb' | 'sqlite';
  password?: string;
}

export interface RunningProduct {
  apiUrl: string;
  dataDir: string;
  sandbox: Sandbox;
  temporal: TestTemporal;
  mongod: TestMongod | null;
  api: SupervisedProcess;
  workers: SupervisedProcess[];
  env: Record<string, string>;
  /** Where the processes' logs are. */
  logDir: string;
  request(path: string, init?: RequestInit): Promise<Response>;
  submit(request?: Partial<SearchDownloadInput>, headers?: Record<string, string>): Promise<Job>;
  job(jobId: string): Promise<Job>;
  /** Polls until the job is as wanted; survives an API that is away. Fails after `timeoutMs`. */
  until(jobId: string, wanted: (job: Job) => boolean, timeoutMs?: number): Promise<Job>;
  ended(jobId: string, timeoutMs?: number): Promise<Job>;
  result(jobId: string): Promise<JobResult>;
  events(jobId: string): Promise<JobEvent[]>;
  /** Every file under a public name in the data directory, relative. */
  publicFiles(): string[];
  close(): Promise<void>;
}

/** The guide's job: Copernicus, SENTINEL-2, S2MSI2A, its polygon, three days. */
export function guideRequest(change: Partial<SearchDownloadInput> = {}): SearchDownloadInput {
  return {
    job_type: 'search_download',
    provider: 'copernicus',
    collection: 'SENTINEL-2',
    product_type: 'S2MSI2A',
    start_date: '2025-01-01',
    end_date: '2025-01-03',
    aoi: { wkt: guidePolygon },
    ...change,
  };
}

export async function startProduct(options: ProductOptions = {}): Promise<RunningProduct> {
  const root = mkdtempSync(join(tmpdir(), 'nimbus-product-'));
  const dataDir = join(root, 'data');
  const logDir = join(root, 'logs');
  const backend = options.backend ?? 'mongodb';
  const password = options.password ?? 'sandbox';
  const [sandbox, temporal, mongod, ports] = await Promise.all([
    createSandbox({ scale: 0.0005, users: { sandbox: password }, ...options.sandbox }),
    startTemporal(),
    backend === 'mongodb' ? startMongod() : null,
    freePorts(1),
  ]);
  const [apiPort] = ports as [number];
  const env: Record<string, string> = {
    PATH: process.env['PATH'] ?? '',
    HOME: process.env['HOME'] ?? root,
    NIMBUS_API_PORT: String(apiPort),
    NIMBUS_DATA_DIR: dataDir,
    NIMBUS_DB_BACKEND: backend,
    ...(mongod === null ? {} : { NIMBUS_MONGODB_URI: mongod.uri }),
    NIMBUS_STALE_JOB_SECONDS: '5',
    NIMBUS_COPERNICUS_BASE_URL: sandbox.baseUrl,
    NIMBUS_COPERNICUS_DOWNLOAD_URL: sandbox.downloadUrl,
    NIMBUS_COPERNICUS_TOKEN_URL: sandbox.tokenUrl,
    NIMBUS_COPERNICUS_USERNAME: 'sandbox',
    NIMBUS_COPERNICUS_PASSWORD: password,
    TEMPORAL_ADDRESS: temporal.address,
    ...options.env,
  };
  const apiUrl = `http://127.0.0.1:${apiPort}`;
  const api = supervise(
    nimbusProcess('api', root, env, logDir, () => answers(`${apiUrl}/v1/health/live`)),
    () => {},
  );
  const workers = Array.from({ length: options.workers ?? 1 }, (_, index) =>
    supervise(
      nimbusProcess('worker', root, env, logDir, async () => true, `worker-${index}`),
      () => {},
    ),
  );
  await Promise.all([api.start(), ...workers.map((worker) => worker.start())]);

  const product: RunningProduct = {
    apiUrl,
    dataDir,
    logDir,
    sandbox,
    temporal,
    mongod,
    api,
    workers,
    env,
    request: (path, init) => fetch(`${apiUrl}${path}`, init),
    async submit(request = {}, headers = {}) {
      const response = await fetch(`${apiUrl}/v1/jobs`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(guideRequest(request)),
      });
      if (response.status > 202)
        throw new Error(`submit: ${response.status} ${await response.text()}`);
      return (await response.json()) as Job;
    },
    async job(jobId) {
      return (await getJson(`${apiUrl}/v1/jobs/${jobId}`)) as Job;
    },
    async until(jobId, wanted, timeoutMs = 120_000) {
      const startedMs = Date.now();
      let last: unknown = 'no answer';
      while (Date.now() - startedMs < timeoutMs) {
        try {
          const job = await product.job(jobId);
          if (wanted(job)) return job;
          last = job;
        } catch (error) {
          last = error;
        }
        await sleep(50);
      }
      const story = await product.events(jobId).catch(String);
      throw new Error(
        `Job ${jobId} did not get there in ${timeoutMs} ms: ${JSON.stringify(last)} ${String(last)}; its story: ${JSON.stringify(story)}`,
      );
    },
    ended: (jobId, timeoutMs) =>
      product.until(
        jobId,
        ({ state }) => ['succeeded', 'failed', 'cancelled'].includes(state),
        timeoutMs,
      ),
    async result(jobId) {
      return (await getJson(`${apiUrl}/v1/jobs/${jobId}/result`)) as JobResult;
    },
    async events(jobId) {
      return ((await getJson(`${apiUrl}/v1/jobs/${jobId}/events`)) as { items: JobEvent[] }).items;
    },
    publicFiles: () =>
      readdirSync(dataDir, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name).slice(dataDir.length + 1))
        .filter((path) => !path.split('/').some((part) => part.startsWith('.'))),
    async close() {
      await Promise.all([api.stop(), ...workers.map((worker) => worker.stop())]);
      await Promise.all([temporal.close(), mongod?.close(), sandbox.close()]);
      rmSync(root, { recursive: true, force: true });
    },
  };
  return product;
}

function nimbusProcess(
  command: string,
  cwd: string,
  env: Record<string, string>,
  logDir: string,
  isReady: () => Promise<boolean>,
  name = command,
): Parameters<typeof supervise>[0] {
  return {
    name,
    command: process.execPath,
    args: [nimbus, command],
    env: { ...env, PWD: cwd },
    logFile: join(logDir, `${name}.log`),
    graceMs: 15_000,
    isReady,
    readyTimeoutMs: 60_000,
    restart: false,
  };
}

export async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

export const newKey = (): string => `test-${randomUUID()}`;

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url)).ok;
  } catch {
    return false;
  }
}

async function getJson(url: string): Promise<unknown> {
  const response = await fetch(url, { signal: AbortSignal.timeout(10_000) });
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  return await response.json();
}
