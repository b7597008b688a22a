/**
 * The main job from submission to verified files, with everything it needs, in about a minute and on
 * made-up data. Interrupted, it stops cleanly; run again, it goes on with the same job.
 */
import { randomUUID } from 'node:crypto';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { readConfig, variables } from '../../config.js';
import type { Job } from '../../jobs/job.js';
import type { SearchDownloadInput } from '../../jobs/request.js';
import { createApiClient, type ApiClient } from '../client/api-client.js';
import { submitJob } from '../client/submit-job.js';
import type { CliContext } from '../context.js';
import { CommandError, EXIT, type ExitCode } from '../exit-codes.js';
import type { Environment } from '../local/cache.js';
import { tryHold } from '../local/exclusive.js';
import { createLocalStack } from '../local/local-stack.js';
import { freePort } from '../local/ports.js';
import { aborted } from '../signals.js';
import { beginRunningStack, forgetRunningStack } from '../local/running-stack.js';
import { isAddress } from '../verify/manifest-files.js';
import { followOnScreen, tellEnd } from '../watch-job.js';
import { verifyAt } from './verify.js';

/** The job of the guide: three days of Sentinel-2 over the Moroccan coast. */
const request: SearchDownloadInput = {
  job_type: 'search_download',
  provider: 'copernicus',
  collection: 'SENTINEL-2',
  product_type: 'S2MSI2A',
  start_date: '2025-01-01',
  end_date: '2025-01-03',
  aoi: { wkt: 'POLYGON((-7.8 33.4,-7.2 33.4,-7.2 33.8,-7.8 33.8,-7.8 33.4))' },
};

/** Large enough that bars move, small enough for a minute. */
const sandboxArgs = ['--scale', '0.05', '--bytes-per-second', '6000000'];

export interface DemoOptions {
  /** Throws away what an earlier demo fetched. */
  fresh?: boolean;
}

export async function demo(context: CliContext, { fresh }: DemoOptions): Promise<ExitCode> {
  const { notes, stop } = context;
  const dataDir = join(context.config().dataDir, 'demo');
  const hold = tryHold(join(dataDir, 'run', 'up.lock'));
  if (!hold)
    throw new CommandError(`Another demo runs on ${dataDir}`, EXIT.temporary, 'Wait for it to end');
  const taken = new Set<number>();
  const port = async (): Promise<number> => {
    const free = await freePort(taken);
    taken.add(free);
    return free;
  };
  const apiPort = await port();
  const env = demoEnvironment(context.env, dataDir, apiPort);
  const stack = createLocalStack({
    ...{ config: readConfig(env), env, dataDir, apiPort, port, notes },
    sandbox: sandboxArgs,
    signal: stop.signal,
  });
  const api = createApiClient({ baseUrl: `http://127.0.0.1:${apiPort}`, apiKey: null });
  let job: Job | null = null;
  try {
    await beginRunningStack(dataDir, notes.say);
    if (fresh) await clear(dataDir);
    const work = async (): Promise<ExitCode> => {
      const running = await stack.start();
      notes.say(`API ${api.baseUrl}/docs, Temporal Web UI ${running.temporalUi ?? '(yours)'}`);
      job = await submit(context, api, dataDir);
      return await follow(context, api, job, dataDir);
    };
    const code = await Promise.race([work(), aborted(stop.signal).then(() => null)]);
    if (code !== null) return code;
  } catch (error) {
    if (stop.which() === null) throw error;
  } finally {
    await notes.during('everything that was started to stop', () => stack.stop());
    forgetRunningStack(dataDir);
    hold.release();
  }
  notes.say(
    job === null
      ? 'Stopped. Run `npm run demo` again to go on'
      : `Stopped. Run \`npm run demo\` again: it goes on with job ${(job as Job).job_id}, from the bytes that are there`,
  );
  return stop.exitCode();
}

const kept = [
  'NIMBUS_DB_BACKEND',
  'NIMBUS_MONGODB_URI',
  'NIMBUS_TEMPORAL_UI_URL',
  'NIMBUS_LOG_LEVEL',
];

/**
 * Nothing of the user's product reaches the demo: only where Temporal and MongoDB are, if they were given. What must not
 * reach it is set to nothing rather than left out, since the demo's processes read .env as well.
 */
function demoEnvironment(env: Environment, dataDir: string, apiPort: number): Environment {
  const dropped = Object.keys(variables).filter((name) => !kept.includes(name));
  return {
    ...env,
    ...Object.fromEntries(dropped.map((name) => [name, ''])),
    NIMBUS_DATA_DIR: dataDir,
    NIMBUS_API_PORT: String(apiPort),
    NIMBUS_MONGODB_DB: 'nimbus_demo',
    NIMBUS_TASK_QUEUE: 'nimbus-demo',
  };
}

const keyFile = (dataDir: string): string => join(dataDir, 'run', 'demo-key');

/** The key of an unfinished demo makes this one go on with its job. */
async function submit({ notes, stop }: CliContext, api: ApiClient, dataDir: string): Promise<Job> {
  const known = await readFile(keyFile(dataDir), 'utf8').catch(() => null);
  const idempotencyKey = known ?? randomUUID();
  await writeFile(keyFile(dataDir), idempotencyKey);
  const { say } = notes;
  const { job, created } = await notes.during('the job to be accepted', () =>
    submitJob(api, { request, idempotencyKey, say, signal: stop.signal }),
  );
  notes.say(
    created
      ? `Job ${job.job_id}: Sentinel-2 L2A over 33.4 to 33.8° N, 7.8 to 7.2° W, 1 to 3 January 2025`
      : `Going on with job ${job.job_id} of an earlier demo`,
  );
  return job;
}

async function follow(
  context: CliContext,
  api: ApiClient,
  job: Job,
  dataDir: string,
): Promise<ExitCode> {
  const { notes, paint } = context;
  const ended = await followOnScreen(context, api, job.job_id);
  const result = await tellEnd(context, api, ended);
  await rm(keyFile(dataDir), { force: true });
  if (ended.state !== 'succeeded' || result.manifest === null) {
    notes.say(paint.red(`The job ${ended.state}; the logs are in ${join(dataDir, 'logs')}`));
    return EXIT.failed;
  }
  const manifest = isAddress(result.manifest) ? result.manifest : resolve(dataDir, result.manifest);
  notes.say(`\nVerifying again, from the manifest alone: ${manifest}`);
  const { files } = await verifyAt(context, manifest);
  const broken = files.filter(({ problem }) => problem !== null).length;
  if (broken > 0 || files.length === 0) {
    notes.say(paint.red(`${broken} of ${files.length} files do not verify`));
    return EXIT.failed;
  }
  notes.say(
    paint.green(
      `${files.length} files fetched and verified twice. They stay in ${dataDir}; the next demo finds them held, \`npm run demo -- --fresh\` starts from nothing`,
    ),
  );
  return EXIT.ok;
}

/** All but the lock that we hold. */
async function clear(dataDir: string): Promise<void> {
  for (const name of await readdir(dataDir))
    if (name !== 'run') await rm(join(dataDir, name), { recursive: true, force: true });
  await rm(keyFile(dataDir), { force: true });
}
