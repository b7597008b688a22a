import { describe, expect, it } from 'vitest';
import { makeProduct } from '../../support/doubles/memory-provider.js';
import { guideRequest, startApiBench } from '../../support/api-bench.js';

const json = async (answer: Response): Promise<any> => answer.json();

describe('search preview', () => {
  it('answers what a job would fetch, what is held, and what it would cost', async () => {
    const api = await startApiBench();
    api.provider.products = Array.from({ length: 250 }, (_, index) => makeProduct(index));
    api.store.held.set('copernicus/product-3', {
      provider: 'copernicus',
      product_id: 'product-3',
      artifacts: [],
      stored_at: '2025-01-01T00:00:00Z',
      stored_by: 'run',
    });
    const preview = await json(await api.post('/v1/search', guideRequest));
    expect(preview).toMatchObject({
      total: 250,
      bytes_total: 250e6,
      already_held: 1,
      aoi: { repaired: false, repairs: [] },
      estimate: { seconds: 63, disk_free: 50 * 1024 ** 3, quota_share: 250e6 / 12e12 },
      complete: true,
    });
    expect(preview.products).toHaveLength(250);
    expect(preview.products[0]).toEqual({
      id: 'product-249',
      title: 'S2A_MSIL2A_249.SAFE',
      acquired_at: '2025-01-01T04:09:00.000Z',
      bytes: 1_000_000,
      cloud_cover: 10,
      footprint: null,
      quicklook: null,
      online: true,
    });
    expect(api.provider.searches).toBe(3);
  });

  it('plans as the job does: order and limits hold', async () => {
    const api = await startApiBench();
    api.provider.products = Array.from({ length: 20 }, (_, index) => makeProduct(index));
    const asked = { ...guideRequest, order: 'oldest', max_products: 2 };
    const preview = await json(await api.post('/v1/search', asked));
    expect(preview).toMatchObject({ total: 2, bytes_total: 2e6 });
    expect(preview.products.map(({ id }: any) => id)).toEqual(['product-0', 'product-1']);
  });

  it('stops after some pages and says that it did', async () => {
    const api = await startApiBench();
    api.provider.pageSize = 10;
    api.provider.products = Array.from({ length: 250 }, (_, index) => makeProduct(index));
    const preview = await json(await api.post('/v1/search', guideRequest));
    expect(preview).toMatchObject({ complete: false, total: 250, bytes_total: null });
    expect(preview.products).toHaveLength(100);
  });

  it('answers with what it has when time is up, and 503 when that is nothing', async () => {
    const api = await startApiBench({ timings: { previewMs: 100 } });
    api.provider.pageSize = 10;
    api.provider.products = Array.from({ length: 30 }, (_, index) => makeProduct(index));
    let pages = 1;
    api.provider.beforePage = (signal) =>
      pages-- > 0
        ? Promise.resolve()
        : new Promise((_, reject) =>
            signal.addEventListener('abort', () => reject(signal.reason as Error)),
          );
    const preview = await json(await api.post('/v1/search', guideRequest));
    expect(preview).toMatchObject({ complete: false, total: 30 });
    const answer = await api.post('/v1/search', guideRequest);
    expect(answer.status).toBe(503);
    expect((await json(answer)).code).toBe('SourceUnavailable');
  });

  it('finds named products, and refuses what a job would refuse', async () => {
    const api = await startApiBench();
    api.provider.products = [makeProduct(1), makeProduct(2)];
    const { job_type, provider, collection } = guideRequest;
    const named = { job_type, provider, collection, products: ['product-2'] };
    expect((await json(await api.post('/v1/search', named))).total).toBe(1);
    const wrong = { ...named, products: ['product-9'] };
    expect((await api.post('/v1/search', wrong)).status).toBe(404);
    expect((await api.post('/v1/search', { ...guideRequest, colour: 1 })).status).toBe(422);
  });
});

describe('providers and tiles', () => {
  it('shows limits, slots used and credentials', async () => {
    const api = await startApiBench();
    const id = await api.submit();
    await api.tell(id, 'job.started', { state: 'running', in_flight: ['a', 'b'] });
    api.provider.state = 'rejected';
    const { items } = await json(await api.get('/v1/providers'));
    expect(items).toMatchObject([
      { id: 'copernicus', limits: { connections: 4 }, slots_used: 2, credentials: 'rejected' },
    ]);
    api.mirrorDown(true);
    const blind = await json(await api.get('/v1/providers'));
    expect(blind.items[0].slots_used).toBeNull();
  });

  it('finds MGRS tiles by box or by name', async () => {
    const api = await startApiBench();
    const answer = await api.get('/v1/tiles?grid=mgrs&bbox=-7.8,33.4,-7.2,33.8');
    expect(answer.headers.get('content-type')).toContain('application/geo+json');
    const { type, features } = await json(answer);
    expect(type).toBe('FeatureCollection');
    expect(features.map(({ id }: any) => id)).toContain('29SPT');
    const named = await json(await api.get('/v1/tiles?q=29S'));
    expect(named.features.every(({ id }: any) => id.startsWith('29S'))).toBe(true);
    for (const query of ['', 'grid=wrs2&q=1', 'bbox=1,2,3', 'bbox=a,b,c,d', 'bbox=0,0,1,1&q=29S'])
      expect((await api.get(`/v1/tiles?${query}`)).status).toBe(400);
    expect((await api.get('/v1/tiles?bbox=0,95,1,99')).status).toBe(422);
  });
});

describe('health and metrics', () => {
  it('is ok, degraded with the reason, or not ready', async () => {
    const api = await startApiBench({ timings: { checkMs: 100 } });
    expect(await json(await api.get('/v1/health'))).toEqual({
      status: 'ok',
      version: '0.0.0-test',
      checks: {
        temporal: { status: 'ok' },
        mirror: { status: 'ok' },
        data_dir: { status: 'ok' },
        providers: { status: 'ok' },
      },
    });
    expect((await api.get('/v1/health/ready')).status).toBe(200);
    api.provider.state = 'missing';
    const degraded = await json(await api.get('/v1/health'));
    expect(degraded.status).toBe('degraded');
    expect(degraded.checks.providers.detail).toContain('copernicus');
    expect((await api.get('/v1/health/ready')).status).toBe(200);
    api.engine.ping = () => new Promise(() => {});
    const stuck = await json(await api.get('/v1/health'));
    expect(stuck.checks.temporal).toMatchObject({ status: 'degraded' });
    expect((await api.get('/v1/health/ready')).status).toBe(503);
    expect((await api.get('/v1/health/live')).status).toBe(200);
  });

  it('is not ready without the mirror', async () => {
    const api = await startApiBench();
    api.mirrorDown(true);
    const answer = await api.get('/v1/health/ready');
    expect(answer.status).toBe(503);
    expect((await json(answer)).checks.mirror.status).toBe('degraded');
  });

  it('counts by route template, and shows no id, path or query', async () => {
    const api = await startApiBench();
    const id = await api.submit();
    await api.get(`/v1/jobs/${id}`);
    await api.get('/v1/jobs?q=canary');
    await api.get('/canary/path');
    await fetch(`${api.url}/canary`, { method: 'PROPFIND' });
    const text = await (await api.get('/v1/metrics')).text();
    expect(text).toContain(
      'nimbus_http_requests_total{method="GET",route="/v1/jobs/{id}",status="200"} 1',
    );
    expect(text).toContain('nimbus_jobs{state="queued"} 1');
    expect(text).not.toContain(id);
    expect(text).not.toContain('canary');
    expect(text).not.toContain('PROPFIND');
  });

  it('has no metrics when they are switched off, and leaves jobs out while the mirror is down', async () => {
    const off = await startApiBench({ settings: { metrics: false } });
    expect((await off.get('/v1/metrics')).status).toBe(404);
    const api = await startApiBench();
    await api.submit();
    api.mirrorDown(true);
    const answer = await api.get('/v1/metrics');
    expect(answer.status).toBe(200);
    expect(await answer.text()).not.toContain('nimbus_jobs{');
  });
});
