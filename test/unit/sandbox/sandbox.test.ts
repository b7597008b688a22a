/** The sandbox over HTTP: identity, search, downloads, refusals, faults, ledger and control port. */
import { createHash, createPublicKey, verify } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createSandbox, type Fault, type Sandbox } from '../../../src/sandbox/sandbox.js';

let sandbox: Sandbox;
let token = '';

beforeAll(async () => {
  sandbox = await createSandbox({ products: 400, scale: 0.0002 });
  token = (await login()).access_token;
});
afterAll(() => sandbox.close());
afterEach(() => {
  sandbox.clearFaults();
  sandbox.resetLedger();
  sandbox.configure({
    tokenLifetimeSeconds: 600,
    refreshLifetimeSeconds: 3600,
    connections: 4,
    bytesPerSecond: null,
    ranges: true,
    etag: false,
  });
});

async function post(form: Record<string, string>): Promise<{ status: number; body: any }> {
  const response = await fetch(sandbox.tokenUrl, {
    method: 'POST',
    body: new URLSearchParams(form),
  });
  return { status: response.status, body: await response.json() };
}

async function login(): Promise<any> {
  const { username, password } = sandbox;
  const form = { grant_type: 'password', client_id: 'cdse-public', username, password };
  return (await post(form)).body;
}

const refresh = (refresh_token: string) =>
  post({ grant_type: 'refresh_token', client_id: 'cdse-public', refresh_token });

async function search(options: Record<string, string>): Promise<any> {
  const response = await fetch(
    `${sandbox.baseUrl}/odata/v1/Products?${new URLSearchParams(options).toString()}`,
  );
  return response.json();
}

/** A small orbit file, and its true bytes. */
async function sample(): Promise<{
  id: string;
  name: string;
  index: number;
  bytes: Buffer;
  url: string;
}> {
  const [product] = await sandbox.products({
    filter: "contains(Name,'POEORB') and Online eq true",
    limit: 1,
  });
  const url = `${sandbox.downloadUrl}/odata/v1/Products(${product!.id})/$value`;
  const bytes = Buffer.from(await (await get(url)).arrayBuffer());
  sandbox.resetLedger();
  return { ...product!, bytes, url };
}

function get(url: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Response> {
  return fetch(url, {
    method,
    redirect: 'manual',
    headers: { authorization: `Bearer ${token}`, ...headers },
  });
}

/** A download by plain HTTP: what came before the end, and whether the end was in order. */
async function raw(url: string): Promise<{ body: Buffer; whole: boolean; headers: any }> {
  const asked = request(url, { headers: { authorization: `Bearer ${token}` }, agent: false }).end();
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  const parts: Buffer[] = [];
  response.on('data', (part: Buffer) => parts.push(part));
  response.on('error', () => undefined);
  await new Promise<void>((resolve) => response.once('close', resolve));
  return { body: Buffer.concat(parts), whole: response.complete, headers: response.headers };
}

async function script(match: Fault['match'], ...steps: NonNullable<Fault['steps']>): Promise<void> {
  sandbox.script([{ match, steps }]);
}

describe('identity', () => {
  it('answers discovery with addresses of its own', async () => {
    const realm = `${sandbox.baseUrl}/auth/realms/CDSE`;
    const found: any = await (await fetch(`${realm}/.well-known/openid-configuration`)).json();
    expect(found.issuer).toBe(realm);
    expect(found.token_endpoint).toBe(sandbox.tokenUrl);
    expect(found.id_token_signing_alg_values_supported).toContain('RS256');
  });

  it('signs access tokens with the key it publishes', async () => {
    const askedAtMs = Date.now();
    const issued = await login();
    expect(issued).toMatchObject({
      expires_in: 600,
      refresh_expires_in: 3600,
      token_type: 'Bearer',
    });
    const [head, payload, signature] = issued.access_token.split('.');
    const header = JSON.parse(Buffer.from(head, 'base64url').toString());
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
    const keys: any = await (
      await fetch(`${sandbox.baseUrl}/auth/realms/CDSE/protocol/openid-connect/certs`)
    ).json();
    const jwk = keys.keys.find((key: any) => key.kid === header.kid);
    const key = createPublicKey({ key: jwk, format: 'jwk' });
    const signed = Buffer.from(`${head}.${payload}`);
    expect(verify('RSA-SHA256', signed, key, Buffer.from(signature, 'base64url'))).toBe(true);
    expect(header.alg).toBe('RS256');
    expect(claims.aud).toContain('CLOUDFERRO_PUBLIC');
    // As long as announced: rounded to whole seconds, a life of one second can be over at once.
    expect(claims.exp * 1000).toBeGreaterThanOrEqual(askedAtMs + 600_000);
    expect(claims.exp * 1000).toBeLessThanOrEqual(Date.now() + 600_000);
  });

  it('refuses a wrong password, a strange client and an unknown grant', async () => {
    const form = { grant_type: 'password', client_id: 'cdse-public', username: 'sandbox' };
    expect(await post({ ...form, password: 'wrong' })).toEqual({
      status: 401,
      body: { error: 'invalid_grant', error_description: 'Invalid user credentials' },
    });
    expect((await post({ ...form, password: 'sandbox', client_id: 'x' })).status).toBe(401);
    expect((await post({ ...form, grant_type: 'magic' })).status).toBe(400);
    expect((await post({})).body.error).toBe('invalid_request');
    expect((await post({ ...form, username: '__proto__', password: 'x' })).status).toBe(401);
    expect(sandbox.ledger().loginsRefused).toBe(2);
  });

  it('renews tokens within one session, and no longer than the session lives', async () => {
    const first = await login();
    const second = await refresh(first.refresh_token);
    expect(second.status).toBe(200);
    expect(second.body.session_state).toBe(first.session_state);
    sandbox.configure({ refreshLifetimeSeconds: 0.001 });
    const short = await login();
    expect(await refresh(short.refresh_token)).toEqual({
      status: 400,
      body: { error: 'invalid_grant', error_description: 'Token is not active' },
    });
    expect((await refresh(`${first.refresh_token}x`)).status).toBe(400);
    expect(sandbox.ledger()).toMatchObject({ logins: 2, refreshes: 1, refreshesRefused: 2 });
  });

  it('opens at most a hundred sessions', async () => {
    const own = await createSandbox({ products: 1 });
    const form = {
      grant_type: 'password',
      client_id: 'cdse-public',
      username: 'sandbox',
      password: 'sandbox',
    };
    const statuses = await Promise.all(
      Array.from({ length: 101 }, async () => {
        const body = new URLSearchParams(form);
        return (await fetch(own.tokenUrl, { method: 'POST', body })).status;
      }),
    );
    expect(statuses.filter((status) => status === 200)).toHaveLength(100);
    expect(statuses.filter((status) => status === 400)).toHaveLength(1);
    expect(own.ledger().sessionsPeak).toBe(100);
    await own.close();
  });
});

describe('the catalogue over HTTP', () => {
  it('pages through everything once by following the links', async () => {
    const seen: string[] = [];
    const options = {
      $filter: "Collection/Name eq 'SENTINEL-1'",
      $orderby: 'PublicationDate desc',
      $top: '17',
      $count: 'true',
    };
    let page = await search(options);
    const total: number = page['@odata.count'];
    while (page) {
      seen.push(...page.value.map((product: any) => product.Id as string));
      const next = page['@odata.nextLink'];
      page = next ? await (await fetch(next)).json() : null;
    }
    expect(seen).toHaveLength(total);
    expect(new Set(seen).size).toBe(total);
  });

  it('has no order without $orderby: the same page differs from request to request', async () => {
    const ids = async () => (await search({ $top: '50' })).value.map((product: any) => product.Id);
    expect(await ids()).not.toEqual(await ids());
  });

  it('counts only when asked, and expands and selects what is named', async () => {
    const plain = await search({ $top: '1' });
    expect(plain).not.toHaveProperty('@odata.count');
    expect(plain['@odata.context']).toBe('$metadata#Products');
    expect(plain.value[0]).not.toHaveProperty('Attributes');
    const full = (await (
      await fetch(
        `${sandbox.baseUrl}/odata/v1/Products?$top=1&$expand=Assets&$expand=Attributes&$expand=Locations`,
      )
    ).json()) as any;
    expect(full['@odata.context']).toBe('$metadata#Products(Assets(),Attributes(),Locations())');
    expect(full.value[0].Attributes.length).toBeGreaterThan(3);
    expect(full.value[0].Locations[0].FormatType).toBe('Extracted');
    const some = await search({ $top: '1', $select: 'Id,Name' });
    expect(Object.keys(some.value[0]).toSorted()).toEqual([
      '@odata.mediaContentType',
      'Id',
      'Name',
    ]);
  });

  it('shows antimeridian footprints as MultiPolygon in both forms', async () => {
    const found = await search({ $filter: "contains(Name,'_T01KAB_')", $top: '1' });
    expect(found.value[0].Footprint).toMatch(/^geography'SRID=4326;MULTIPOLYGON \(\(\(/);
    expect(found.value[0].GeoFootprint.type).toBe('MultiPolygon');
    expect(found.value[0].GeoFootprint.coordinates).toHaveLength(2);
  });

  it('answers one product, name lists, attributes, deleted products and quicklooks', async () => {
    const root = `${sandbox.baseUrl}/odata/v1`;
    const [wanted, other] = await sandbox.products({
      filter: "Collection/Name eq 'SENTINEL-2'",
      limit: 2,
    });
    const one: any = await (await fetch(`${root}/Products(${wanted!.id})?$expand=Assets`)).json();
    expect(one.Name).toBe(wanted!.name);
    const picture = await fetch(one.Assets[0].DownloadLink);
    expect(picture.headers.get('content-type')).toBe('image/jpeg');
    expect(Buffer.from(await picture.arrayBuffer()).toString('hex', 0, 2)).toBe('ffd8');
    const names = {
      FilterProducts: [{ Name: other!.name }, { Name: 'nothing' }, { Name: wanted!.name }],
    };
    const listed: any = await (
      await fetch(`${root}/Products/OData.CSC.FilterList`, {
        method: 'POST',
        body: JSON.stringify(names),
      })
    ).json();
    expect(listed.value.map((product: any) => product.Id)).toEqual([other!.id, wanted!.id]);
    const attributes: any = await (await fetch(`${root}/Attributes(SENTINEL-1)`)).json();
    expect(attributes).toContainEqual({ Name: 'relativeOrbitNumber', ValueType: 'Integer' });
    const deleted: any = await (
      await fetch(`${root}/DeletedProducts?$filter=DeletionDate gt 2025-01-02`)
    ).json();
    expect(deleted.value[0].DeletionCause).toMatch(/product/);
    expect((await fetch(`${root}/Products(00000000-0000-5000-8000-000000000000)`)).status).toBe(
      404,
    );
    expect((await fetch(`${root}/Products(7)`)).status).toBe(422);
    expect((await fetch(`${root}/Attributes(NOTHING)`)).status).toBe(404);
  });

  it('refuses a collection that does not exist and a filter it cannot read with 400', async () => {
    expect((await search({ $filter: "Collection/Name eq 'SENTINEL-9'" })).detail.message).toContain(
      'SENTINEL-9',
    );
    expect((await search({ $filter: 'Name eq' })).detail).toContain('position 7');
    expect((await search({ $filter: "Collection/Name eq 'SENTINEL-6'" })).value).toEqual([]);
  });

  it('lists a recorded entry as it is, with links that stay here, and serves its file', async () => {
    const scratch = mkdtempSync(join(tmpdir(), 'nimbus-sandbox-'));
    const path = join(scratch, 'bytes');
    writeFileSync(path, 'real bytes');
    const id = '05edf2bb-d103-49f1-a677-9e474138d84f';
    const ring = [
      [142.3, 13.4],
      [142.9, 13.4],
      [142.9, 14.1],
      [142.3, 13.4],
    ];
    const product = {
      Id: id,
      Name: 'S2A_MSIL1C_20200808T010311_N0500_R045_T54PXA_20230413T212505.SAFE',
      S3Path: '/eodata/Sentinel-2/MSI/L1C_N0500/2020/08/08/x.SAFE',
      Checksum: [{ Value: '923ac4992d90b57d41e7ace4d9d90757', Algorithm: 'MD5' }],
      ContentDate: { Start: '2020-08-08T01:03:11.024000Z', End: '2020-08-08T01:03:11.024000Z' },
      GeoFootprint: { type: 'Polygon', coordinates: [ring] },
      Assets: [
        {
          Id: '385d0a62-ec57-413b-a8b8-12c0e79848f6',
          DownloadLink:
            'https://catalogue.example.eu/odata/v1/Assets(385d0a62-ec57-413b-a8b8-12c0e79848f6)/$value',
        },
      ],
    };
    const own = await createSandbox({ products: 5, realFiles: [{ product, path }] });
    const $filter =
      "Collection/Name eq 'SENTINEL-2' and ContentDate/Start lt 2021-01-01 and OData.CSC.Intersects(area=geography'SRID=4326;POINT(142.8 13.5)')";
    const options = new URLSearchParams({ $filter, $expand: 'Assets' }).toString();
    const found: any = await (await fetch(`${own.baseUrl}/odata/v1/Products?${options}`)).json();
    expect(found.value).toHaveLength(1);
    const { Assets, ...plain } = found.value[0];
    expect(plain).toEqual(
      Object.fromEntries(Object.entries(product).filter(([key]) => key !== 'Assets')),
    );
    expect((await fetch(Assets[0].DownloadLink)).headers.get('content-type')).toBe('image/jpeg');
    expect(Assets[0].DownloadLink.startsWith(own.baseUrl)).toBe(true);
    expect((await own.products({ id, digests: true }))[0]!.md5).toBe(
      createHash('md5').update('real bytes').digest('hex'),
    );
    await own.close();
    rmSync(scratch, { recursive: true });
  });

  it('lists a product with other fields after it was amended', async () => {
    const { id, name } = await sample();
    sandbox.amend(name, { ContentLength: 900_000_000, Checksum: [] });
    const one: any = await (await fetch(`${sandbox.baseUrl}/odata/v1/Products(${id})`)).json();
    expect(one).toMatchObject({ ContentLength: 900_000_000, Checksum: [] });
    sandbox.clearFaults();
    const again: any = await (await fetch(`${sandbox.baseUrl}/odata/v1/Products(${id})`)).json();
    expect(again.ContentLength).not.toBe(900_000_000);
  });
});

describe('downloads', () => {
  it('redirects from the catalogue to a second host name and keeps the query', async () => {
    const { id, url } = await sample();
    const response = await get(`${sandbox.baseUrl}/odata/v1/Products(${id})/$value?token=abc`);
    expect(response.status).toBe(301);
    expect(response.headers.get('location')).toBe(`${url}?token=abc`);
    expect(new URL(sandbox.downloadUrl).hostname).not.toBe(new URL(sandbox.baseUrl).hostname);
  });

  it('says what the real host says of a single file', async () => {
    const { url, name, bytes } = await sample();
    const { status, headers } = await get(url);
    expect(status).toBe(200);
    expect(headers.get('content-type')).toBe('application/zip');
    expect(headers.get('content-disposition')).toBe(`attachment; filename=${name}`);
    expect(headers.get('content-length')).toBe(String(bytes.length));
    expect(headers.get('accept-ranges')).toBe('bytes');
    expect(headers.get('x-cf-sessionlimit-limit')).toBe('4');
    expect(headers.get('etag')).toBeNull();
    expect(headers.get('last-modified')).toBeNull();
  });

  it('answers HEAD like GET, without a body and without taking a connection', async () => {
    const { url, bytes } = await sample();
    const response = await get(url, {}, 'HEAD');
    expect(response.headers.get('content-length')).toBe(String(bytes.length));
    expect(sandbox.ledger()).toMatchObject({ downloadsPeak: 0, bytesSent: 0 });
  });

  it('takes the token from the header and from the query', async () => {
    const { url, bytes } = await sample();
    const response = await fetch(`${url}?token=${token}`);
    expect(Buffer.from(await response.arrayBuffer()).equals(bytes)).toBe(true);
    expect(JSON.stringify(sandbox.ledger())).not.toContain(token);
  });

  it('refuses no token, a dead token, another audience, a bad id and a bad path by code', async () => {
    const { url, id } = await sample();
    const code = async (address: string, headers = {}): Promise<unknown> => {
      const response = await fetch(address, { headers });
      return [response.status, ((await response.json()) as any).code];
    };
    expect(await code(url)).toEqual([401, 'DAT-ZIP-604']);
    sandbox.configure({ tokenLifetimeSeconds: 0.001 });
    const dead = (await login()).access_token as string;
    expect(await code(url, { authorization: `Bearer ${dead}` })).toEqual([401, 'DAT-ZIP-109']);
    const machine = await post({
      grant_type: 'client_credentials',
      client_id: 'sh-1',
      client_secret: 's',
    });
    const other = { authorization: `Bearer ${machine.body.access_token}` };
    sandbox.configure({ tokenLifetimeSeconds: 600 });
    expect(await code(url, other)).toEqual([401, 'DAT-ZIP-609']);
    expect(await code(url.replace(id, '7'))).toEqual([422, 'DAT-ZIP-111']);
    expect(await code(url.replace('$value', "Nodes('x')/$value"))).toEqual([400, 'DAT-ZIP-104']);
  });

  it('never serves an offline product', async () => {
    const [offline] = await sandbox.products({ filter: 'Online eq false', limit: 1 });
    const response = await get(`${sandbox.downloadUrl}/odata/v1/Products(${offline!.id})/$value`);
    expect(response.status).toBe(404);
    expect(((await response.json()) as any).code).toBe('DAT-ZIP-915');
  });

  it('serves ranges, and ignores them when told so', async () => {
    const { url, bytes } = await sample();
    const part = await get(url, { range: 'bytes=100-199' });
    expect(part.status).toBe(206);
    expect(part.headers.get('content-range')).toBe(`bytes 100-199/${bytes.length}`);
    expect(Buffer.from(await part.arrayBuffer()).equals(bytes.subarray(100, 200))).toBe(true);
    const beyond = await get(url, { range: `bytes=${bytes.length}-` });
    expect(beyond.status).toBe(416);
    expect(beyond.headers.get('content-range')).toBe(`bytes */${bytes.length}`);
    sandbox.configure({ ranges: false });
    expect((await get(url, { range: 'bytes=100-199' })).status).toBe(200);
  });

  it('honours If-Range and If-Match only when it has an ETag', async () => {
    const { url } = await sample();
    const conditional = { range: 'bytes=1-', 'if-range': '"x"' };
    expect((await get(url, conditional)).status).toBe(200);
    sandbox.configure({ etag: true });
    const etag = (await get(url, {}, 'HEAD')).headers.get('etag')!;
    expect((await get(url, { range: 'bytes=1-', 'if-range': etag })).status).toBe(206);
    expect((await get(url, conditional)).status).toBe(200);
    expect((await get(url, { 'if-match': '"x"' })).status).toBe(412);
  });

  it('refuses a fifth download of an account, and frees the slot when one ends', async () => {
    const { url } = await sample();
    sandbox.configure({ bytesPerSecond: 100 });
    const running = await Promise.all([1, 2, 3, 4].map(() => get(url)));
    const fifth = await get(url);
    expect(fifth.status).toBe(429);
    expect(await fifth.json()).toMatchObject({
      code: 'DAT-ZIP-100',
      message: 'Max session number exceeded',
    });
    expect(sandbox.ledger()).toMatchObject({
      downloadsNow: 4,
      downloadsPeak: 4,
      downloadsRefused: 1,
    });
    await running[0]!.body!.cancel();
    await expect.poll(() => sandbox.ledger().downloadsNow).toBe(3);
    sandbox.configure({ bytesPerSecond: null });
    const again = await get(url);
    expect(again.status).toBe(200);
    await again.arrayBuffer();
    await Promise.all(running.slice(1).map((response) => response.body!.cancel()));
    await expect.poll(() => sandbox.ledger().downloadsNow).toBe(0);
  });

  it('holds each download to the set speed', async () => {
    const { url, bytes } = await sample();
    sandbox.configure({ bytesPerSecond: bytes.length * 4 });
    const startedAt = performance.now();
    const slow = Buffer.from(await (await get(url)).arrayBuffer());
    expect(performance.now() - startedAt).toBeGreaterThan(180);
    expect(slow.equals(bytes)).toBe(true);
  });

  it('lists nodes without a token, in any order, and serves their content with one', async () => {
    const [product] = await sandbox.products({
      filter: "startswith(Name,'S2') and Online eq true",
      limit: 1,
    });
    const root = `${sandbox.downloadUrl}/odata/v1/Products(${product!.id})`;
    const list = async (path: string): Promise<any[]> =>
      ((await (await fetch(`${root}${path}/Nodes`)).json()) as any).result;
    const [top] = await list('');
    expect(top).toMatchObject({ Name: product!.name, ContentLength: 0 });
    const children = await list(`/Nodes(${product!.name})`);
    expect(children).toHaveLength(top.ChildrenNumber);
    const manifest = children.find(({ Name }) => Name === 'manifest.safe');
    const address = `${root}/Nodes(${product!.name})/Nodes(manifest.safe)/$value`;
    expect((await fetch(address)).status).toBe(401);
    const content = Buffer.from(await (await get(address)).arrayBuffer());
    expect(content).toHaveLength(manifest.ContentLength);
    const granule = await list(`/Nodes(${product!.name})/Nodes(GRANULE)`);
    expect(granule[0].Nodes.uri).toContain(`/Nodes(GRANULE)/Nodes(${granule[0].Name})/Nodes`);
    expect((await fetch(`${root}/Nodes(${product!.name})/Nodes(nothing)/Nodes`)).status).toBe(404);
    const empty = children.find(({ Name }) => Name === 'AUX_DATA');
    expect(empty).toMatchObject({ ContentLength: 0, ChildrenNumber: 0 });
    expect(await list(`/Nodes(${product!.name})/Nodes(AUX_DATA)`)).toEqual([]);
    const part = await get(address, { range: 'bytes=5-9' });
    expect(part.status).toBe(206);
    expect(Buffer.from(await part.arrayBuffer()).equals(content.subarray(5, 10))).toBe(true);
  });

  it('has no nodes at all when it is told so, and whole products as ever', async () => {
    const { url, id } = await sample();
    sandbox.configure({ nodes: false });
    const listing = await fetch(`${sandbox.downloadUrl}/odata/v1/Products(${id})/Nodes`);
    expect(listing.status).toBe(404);
    expect((await get(url)).status).toBe(200);
    sandbox.configure({ nodes: true });
  });
});

describe('scripted faults', () => {
  it('follows a script: the 3rd GET is cut, the next is 429, then all is well', async () => {
    const { url, index, bytes } = await sample();
    await script(
      { product: index, method: 'GET', nth: 3 },
      { cutAfterBytes: 50 },
      { status: 429, headers: { 'retry-after': '3' }, body: { code: 'DAT-ZIP-100' } },
    );
    expect((await raw(url)).whole).toBe(true);
    expect((await raw(url)).whole).toBe(true);
    const third = await raw(url);
    expect(third).toMatchObject({ whole: false, body: bytes.subarray(0, 50) });
    const fourth = await get(url);
    expect(fourth.status).toBe(429);
    expect(fourth.headers.get('retry-after')).toBe('3');
    expect((await raw(url)).body.equals(bytes)).toBe(true);
    expect(sandbox.ledger().entries.map(({ faulted }) => faulted)).toEqual([
      false,
      false,
      true,
      true,
      false,
    ]);
    expect(sandbox.scripted()[0]).toMatchObject({ matched: 5, spent: true });
  });

  it('spoils bytes, lengths and ranges as told', async () => {
    const { url, id, bytes } = await sample();
    const match = { product: id };
    await script(match, { flipByteAt: 10 });
    const flipped = (await raw(url)).body;
    expect(flipped[10]).toBe(bytes[10]! ^ 1);
    expect(flipped.subarray(11).equals(bytes.subarray(11))).toBe(true);

    sandbox.clearFaults();
    await script(match, { shortBodyBytes: 4 });
    const short = await raw(url);
    expect(short.headers['content-length']).toBe('4');
    expect(short).toMatchObject({ whole: true, body: bytes.subarray(0, 4) });

    sandbox.clearFaults();
    await script(match, { cutAfterBytes: 20, reset: true });
    const reset = await raw(url).catch(() => null);
    expect(reset?.whole ?? false).toBe(false);

    sandbox.clearFaults();
    await script(match, { endAfterBytes: 20 });
    const ended = await raw(url);
    expect(ended.headers['content-length']).toBe(String(bytes.length));
    expect(ended).toMatchObject({ whole: false, body: bytes.subarray(0, 20) });

    sandbox.clearFaults();
    await script(match, { chunked: true, endAfterBytes: 20 });
    const chunked = await raw(url);
    expect(chunked.headers['content-length']).toBeUndefined();
    expect(chunked).toMatchObject({ whole: true, body: bytes.subarray(0, 20) });

    sandbox.clearFaults();
    await script(match, { inject: { at: 5, text: '<html>' } });
    expect((await raw(url)).body.toString('latin1', 5, 11)).toBe('<html>');

    sandbox.clearFaults();
    await script(match, { changeContent: 'v2' });
    const changed = (await raw(url)).body;
    expect(changed).toHaveLength(bytes.length);
    expect(changed.equals(bytes)).toBe(false);
  });

  it('lies about ranges as told', async () => {
    const { url, id, bytes } = await sample();
    await script(
      { product: id },
      { ignoreRange: true },
      { contentRange: 'bytes 0-9/10' },
      { shiftRange: -20 },
      { etag: '"other"' },
    );
    const range = { range: 'bytes=100-199' };
    expect((await get(url, range)).status).toBe(200);
    expect((await get(url, range)).headers.get('content-range')).toBe('bytes 0-9/10');
    const early = await get(url, range);
    expect(early.headers.get('content-range')).toBe(`bytes 80-199/${bytes.length}`);
    expect(Buffer.from(await early.arrayBuffer()).equals(bytes.subarray(80, 200))).toBe(true);
    expect((await get(url, range)).headers.get('etag')).toBe('"other"');
  });

  it('delays, stalls, drips, redirects, hangs up and shows web pages', async () => {
    const { url, id, bytes } = await sample();
    await script(
      { product: id },
      { delayMs: 60 },
      { stallAfterBytes: 30, stallMs: 60 },
      { bytesPerSecond: bytes.length * 10 },
      { redirect: 'http://127.0.0.1:9/elsewhere' },
      { htmlPage: true },
      { closeBeforeHeaders: true },
    );
    for (const _ of [1, 2, 3]) {
      const startedAt = performance.now();
      expect((await raw(url)).body.equals(bytes)).toBe(true);
      expect(performance.now() - startedAt).toBeGreaterThan(45);
    }
    expect((await get(url)).headers.get('location')).toBe('http://127.0.0.1:9/elsewhere');
    const page = await get(url);
    expect(page.status).toBe(200);
    expect(await page.text()).toContain('<html>');
    await expect(raw(url)).rejects.toThrow();
  });

  it('reaches the catalogue and the token server too, and goes on for ever when told', async () => {
    sandbox.script([
      { match: { path: '/Products$', times: 'always' }, action: { status: 503, body: 'down' } },
      { match: { path: '/token$' }, action: { status: 500 } },
    ]);
    for (const _ of [1, 2, 3])
      expect((await fetch(`${sandbox.baseUrl}/odata/v1/Products`)).status).toBe(503);
    const form = { grant_type: 'x' };
    const body = new URLSearchParams(form);
    expect((await fetch(sandbox.tokenUrl, { method: 'POST', body })).status).toBe(500);
    expect((await post(form)).status).toBe(401);
  });
});

describe('the ledger', () => {
  it('knows sessions, connections and bytes of every product', async () => {
    const { url, id, bytes } = await sample();
    await raw(url);
    await (await get(url, { range: 'bytes=0-9' })).arrayBuffer();
    const ledger = sandbox.ledger();
    expect(ledger.bytesByProduct).toEqual({ [id]: bytes.length + 10 });
    expect(ledger.entries).toHaveLength(2);
    expect(ledger.entries[1]).toMatchObject({
      server: 'download',
      method: 'GET',
      product: id,
      range: 'bytes=0-9',
      status: 206,
      bytesSent: 10,
      faulted: false,
    });
    expect(ledger.entries[0]!.tokenSession).toMatch(/^[0-9a-f-]{36}$/);
    expect(ledger.entries[0]!.connection).not.toBe(ledger.entries[1]!.connection);
  });
});

describe('starting', () => {
  it('leaves nothing listening when a port is taken', async () => {
    const taken = Number(new URL(sandbox.controlUrl).port);
    const free = await createSandbox({ products: 1 });
    const ports = { catalogue: Number(new URL(free.baseUrl).port), control: taken };
    await free.close();
    await expect(createSandbox({ products: 1, ports })).rejects.toMatchObject({
      code: 'EADDRINUSE',
      port: taken,
    });
    const again = await createSandbox({ products: 1, ports: { catalogue: ports.catalogue } });
    expect(Number(new URL(again.baseUrl).port)).toBe(ports.catalogue);
    await again.close();
  });
});

describe('the control port', () => {
  const control = async (method: string, path: string, body?: unknown): Promise<any> => {
    const response = await fetch(`${sandbox.controlUrl}${path}`, {
      method,
      ...(body === undefined
        ? {}
        : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    return { status: response.status, body: await response.json() };
  };

  it('takes faults, shows them with their count, and clears them', async () => {
    const { url, id } = await sample();
    const fault = { match: { product: id }, action: { status: 503 } };
    expect(await control('POST', '/faults', fault)).toEqual({ status: 200, body: { added: 1 } });
    expect((await get(url)).status).toBe(503);
    expect((await control('GET', '/faults')).body).toMatchObject([{ matched: 1, spent: true }]);
    await control('DELETE', '/faults');
    expect((await control('GET', '/faults')).body).toEqual([]);
  });

  it('says what is wrong with a fault, and adds none of the list', async () => {
    const good = { action: { status: 503 } };
    const wrong = async (bad: unknown): Promise<string> => {
      const answer = await control('POST', '/faults', bad);
      expect(answer.status).toBe(400);
      return answer.body.error as string;
    };
    expect(await wrong([good, { action: { cutAfter: 5 } }])).toContain('cutAfter');
    expect(await wrong([good, { match: { product: 'nothing' }, action: {} }])).toContain('nothing');
    expect(await wrong({ match: {} })).toContain('Give either action or steps');
    expect(await wrong('{')).toBe('The body is not JSON');
    expect(sandbox.scripted()).toEqual([]);
  });

  it('changes settings while it runs and refuses unknown ones', async () => {
    expect((await control('PUT', '/settings', { connections: 2 })).body).toMatchObject({
      connections: 2,
      ranges: true,
    });
    expect((await control('PUT', '/settings', { speed: 1 })).status).toBe(400);
    expect((await control('GET', '/settings')).body.connections).toBe(2);
  });

  it('tells the truth about products', async () => {
    const { id, bytes } = await sample();
    const { body } = await control('GET', `/products?id=${id}&digests=true`);
    expect(body).toHaveLength(1);
    expect(body[0]).toMatchObject({
      id,
      sizeBytes: bytes.length,
      md5: createHash('md5').update(bytes).digest('hex'),
      sha256: createHash('sha256').update(bytes).digest('hex'),
    });
    expect((await control('GET', '/products?limit=5&offset=3')).body[0].index).toBe(3);
    const filter = encodeURIComponent("Collection/Name eq 'SENTINEL-3'");
    expect((await control('GET', `/products?filter=${filter}`)).body[0].collection).toBe(
      'SENTINEL-3',
    );
    expect((await control('GET', '/products?nmae=x')).status).toBe(400);
    expect((await control('GET', '/products?filter=Name')).status).toBe(400);
  });

  it('amends products, shows and resets the ledger, and has a health page', async () => {
    const { id } = await sample();
    await control('PATCH', `/products/${id}`, { Online: false });
    const one: any = await (await fetch(`${sandbox.baseUrl}/odata/v1/Products(${id})`)).json();
    expect(one.Online).toBe(false);
    expect((await control('GET', '/ledger')).body.entries).toHaveLength(1);
    await control('DELETE', '/ledger');
    expect((await control('GET', '/ledger')).body.requests).toBe(0);
    expect((await control('GET', '/health')).body).toEqual({ status: 'ok' });
    expect((await control('GET', '/nothing')).status).toBe(404);
  });
});
