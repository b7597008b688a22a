/** The built product as real processes on loopback: Temporal with the flags of the local stack, API, worker, and the sandbox. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findMongod, mongodServer, mongodUri } from '../../../dist/src/cli/local/mongod.js';
import { freePorts } from '../../../dist/src/cli/local/ports.js';
import { supervise } from '../../../dist/src/cli/local/supervised-process.js';
import { findTemporal, temporalServer } from '../../../dist/src/cli/local/temporal-server.js';
import { silentNotes } from '../../../dist/src/cli/output/notes.js';
import { openClient } from '../../../dist/src/engine/connection.js';
import { createSandbox } from '../../../dist/src/sandbox/sandbox.js';

const nimbus = fileURLToPath(new URL('../../../bin/nimbus.mjs', import.meta.url));
const context = { env: process.env, notes: silentNotes, signal: new AbortController().signal };

/**
 * Everything started, its data under `scratch`, stopped by `atEnd`.
 * @param sandbox options of the sandbox
 * @param backend of the mirror: `sqlite` or `mongodb`
 * @param env more variables for API and worker
 */
export async function startStack({ scratch, atEnd }, { sandbox: options, backend, env: more }) {
  const [grpc, ui, http, metrics, mongo, apiPort] = await freePorts(6);
  const sandbox = await createSandbox(options);
  atEnd(() => sandbox.close());
  const env = {
    ...process.env,
    NIMBUS_API_PORT: String(apiPort),
    NIMBUS_DATA_DIR: join(scratch, 'data'),
    NIMBUS_DB_BACKEND: backend,
    NIMBUS_MONGODB_URI: mongodUri(mongo),
    NIMBUS_COPERNICUS_BASE_URL: sandbox.baseUrl,
    NIMBUS_COPERNICUS_DOWNLOAD_URL: sandbox.downloadUrl,
    NIMBUS_COPERNICUS_TOKEN_URL: sandbox.tokenUrl,
    NIMBUS_COPERNICUS_USERNAME: sandbox.username,
    NIMBUS_COPERNICUS_PASSWORD: sandbox.password,
    TEMPORAL_ADDRESS: `127.0.0.1:${grpc}`,
    ...more,
  };
  const start = async (spec) => {
    const part = supervise(spec, () => {});
    atEnd(() => part.stop());
    await part.start();
    return part;
  };
  const ours = (command, isReady) => ({
    name: command,
    command: process.execPath,
    args: [nimbus, command],
    env,
    logFile: join(scratch, `${command}.log`),
    graceMs: 10_000,
    isReady,
    readyTimeoutMs: 60_000,
    restart: false,
  });
  const common = { logDir: scratch, env: process.env, restart: false };
  await start(
    temporalServer({
      ...common,
      binary: await findTemporal(context),
      dataDir: scratch,
      ports: { grpc, ui, http, metrics },
    }),
  );
  if (backend === 'mongodb') {
    const dataDir = join(scratch, 'mongo');
    mkdirSync(dataDir);
    await start(
      mongodServer({ ...common, binary: await findMongod(context), dataDir, port: mongo }),
    );
  }
  const api = `http://127.0.0.1:${apiPort}`;
  await start(ours('api', () => answers(`${api}/v1/health/ready`)));
  const worker = await start(ours('worker', async () => true));
  const { client, close } = openClient({ TEMPORAL_ADDRESS: env.TEMPORAL_ADDRESS });
  atEnd(close);
  return { sandbox, worker, client, dataDir: env.NIMBUS_DATA_DIR, ...jobsOf(api, client) };
}

function jobsOf(api, client) {
  const get = async (path) => (await accepted(await fetch(api + path))).json();
  return {
    /** Of SENTINEL-2 at Copernicus, unless the request says otherwise. Times are UNIX milliseconds. */
    async submit(request) {
      const body = { provider: 'copernicus', collection: 'SENTINEL-2', ...request };
      const submittedMs = Date.now();
      const answer = await fetch(`${api}/v1/jobs`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      const { job_id: jobId } = await (await accepted(answer)).json();
      return { jobId, submittedMs, acceptedMs: Date.now() };
    },
    /** Waits for its workflow without asking again and again, which would be a load of its own. */
    ended: (jobId) => client.workflow.getHandle(jobId).result(),
    /** Resolves with `succeeded`, `failed` or `cancelled` as soon as the stream of events tells it. */
    async shownEnded(jobId) {
      const stream = await accepted(await fetch(`${api}/v1/events?job_id=${jobId}`));
      let said = '';
      for await (const text of stream.body.pipeThrough(new TextDecoderStream())) {
        said += text;
        const [, state] = /^event: job\.(succeeded|failed|cancelled)$/m.exec(said) ?? [];
        if (state !== undefined) return state;
      }
      throw new Error('The stream of events has ended before the job');
    },
    job: (jobId) => get(`/v1/jobs/${jobId}`),
    result: (jobId) => get(`/v1/jobs/${jobId}/result`),
    /** When an activity of a workflow began and ended, the first one's unless it is named. UNIX milliseconds. */
    async activityTimes(workflowId, name) {
      const { events } = await client.workflow.getHandle(workflowId).fetchHistory();
      const scheduled = events.find(
        ({ activityTaskScheduledEventAttributes: one }) =>
          one && (name === undefined || one.activityType.name === name),
      );
      const isOfIt = ({ scheduledEventId }) =>
        String(scheduledEventId) === String(scheduled.eventId);
      const timeOf = (kind) => {
        const event = events.find((one) => one[kind] && isOfIt(one[kind]));
        return Number(event.eventTime.seconds) * 1000 + event.eventTime.nanos / 1e6;
      };
      return {
        startedMs: timeOf('activityTaskStartedEventAttributes'),
        endedMs: timeOf('activityTaskCompletedEventAttributes'),
      };
    },
  };
}

/** The largest product of SENTINEL-2, with its digests: what the sandbox computes once is computed here. */
export async function largestOf(sandbox) {
  const filter = "Collection/Name eq 'SENTINEL-2' and Online eq true";
  const found = await sandbox.products({ filter });
  const { id } = found.reduce((one, other) => (other.sizeBytes > one.sizeBytes ? other : one));
  return (await sandbox.products({ id, digests: true }))[0];
}

async function accepted(response) {
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  return response;
}

function answers(url) {
  return fetch(url).then(
    ({ ok }) => ok,
    () => false,
  );
}
