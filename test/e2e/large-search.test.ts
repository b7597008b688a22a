import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openClient } from '../../src/engine/connection.js';
import { startProduct, type RunningProduct } from '../support/product.js';

const COUNT = 5_000;
/** Fetching all of them takes minutes: `npm run test:large` does, and what is bounded is bounded by the run, not by the job. */
const FETCHED = process.env['NIMBUS_TEST_LARGE'] === '1' ? COUNT : 300;
const EVENTS_A_RUN = 10_000;
const PAYLOAD_BYTES = 256 * 1024;

describe('F092 a search that matches 5,000 products', () => {
  let product: RunningProduct;
  beforeAll(async () => {
    product = await startProduct({
      sandbox: { products: 10, scale: 0.0001, bulk: { collection: 'SENTINEL-5P', count: COUNT } },
      env: {
        NIMBUS_MAX_JOBS: '8',
        NIMBUS_PROVIDER_LIMITS: 'copernicus=8',
        NIMBUS_STALE_JOB_SECONDS: '30',
      },
    });
    product.sandbox.configure({ connections: 8 });
  });
  afterAll(() => product.close());

  it('is planned whole and fetched in runs of under 10,000 events and 256 kB a payload', async () => {
    const { job_id } = await product.submit({
      collection: 'SENTINEL-5P',
      product_type: undefined,
      start_date: '2015-01-01',
      end_date: '2026-12-31',
      aoi: { global: true },
      max_products: FETCHED,
      // Every product has to be compared, so that every page is read.
      order: 'size',
    });
    const job = await product.ended(job_id, 900_000);
    expect(job).toMatchObject({
      state: 'succeeded',
      products_total: FETCHED,
      products_done: FETCHED,
    });
    const searched = (await product.events(job_id)).find(
      ({ type }) => type === 'search.completed',
    )!;
    expect(searched.data).toMatchObject({
      total: COUNT,
      products: FETCHED,
      left_out: COUNT - FETCHED,
    });

    const { client, close } = openClient({ TEMPORAL_ADDRESS: product.temporal.address });
    const runs: { events: number; largestPayload: number }[] = [];
    for await (const { runId } of client.workflow.list({ query: `WorkflowId = "${job_id}"` })) {
      const { events = [] } = await client.workflow.getHandle(job_id, runId).fetchHistory();
      runs.push({
        events: events!.length,
        largestPayload: Math.max(...events!.map(largestPayload)),
      });
    }
    await close();
    console.log(
      `${runs.length} runs, at most ${Math.max(...runs.map(({ events }) => events))} events and ${Math.max(...runs.map(({ largestPayload: bytes }) => bytes))} bytes a payload`,
    );
    expect(runs.length).toBeGreaterThan(1);
    for (const run of runs) {
      expect(run.events).toBeLessThan(EVENTS_A_RUN);
      expect(run.largestPayload).toBeLessThan(PAYLOAD_BYTES);
    }
  }, 1_000_000);
});

/** Bytes of the largest payload anywhere in a history event. */
function largestPayload(value: unknown): number {
  if (value instanceof Uint8Array) return value.length;
  if (typeof value !== 'object' || value === null) return 0;
  return Object.values(value).reduce<number>(
    (largest, child) => Math.max(largest, largestPayload(child)),
    0,
  );
}
