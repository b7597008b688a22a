/** Faults of the wire (F001–F022): what a server does to a body must never reach the verified file. */
import { afterEach, describe, expect, it } from 'vitest';
import { honest, type Script } from '../../support/lying-server.js';
import { bytesOf, createKit, md5, type Kit } from '../../support/transfer-kit.js';

const file = bytesOf(700_000);
const etag = '"one"';
let kit: Kit | undefined;
afterEach(async () => {
  await kit?.close();
  kit = undefined;
});

async function serve(script: Script): Promise<Kit> {
  kit = await createKit(script);
  return kit;
}

it('fetches, verifies and names a file', async () => {
  const { fetch, source, content, listing } = await serve((request) =>
    honest(request, file, {
      etag,
      headers: { 'content-disposition': 'attachment; filename=a.bin' },
    }),
  );
  const result = await fetch(source(file));
  expect(await content(result)).toEqual(file);
  expect(result).toMatchObject({
    bytes: file.length,
    checksum: { algorithm: 'md5', value: md5(file), level: 'provider' },
    fileName: 'a.bin',
    bytesFetched: file.length,
    resumedFrom: 0,
  });
  expect(await listing()).toEqual(['journal', 'owner', 'verified']);
});

describe.each([
  ['with a strong ETag', etag],
  ['without a validator', null],
])('F001 a connection cut after N bytes, %s', (_, tag) => {
  it.each([0, 1, 350_000, file.length - 1])('resumes from %i', async (cutAt) => {
    const { fetch, source, content, server } = await serve((request) => {
      const answer = honest(request, file, { etag: tag });
      return request.index === 0
        ? { ...answer, body: answer.body.subarray(0, cutAt), then: 'reset' }
        : answer;
    });
    const result = await fetch(source(file));
    expect(await content(result)).toEqual(file);
    const again = server.requests[1];
    if (tag && cutAt > 0) {
      expect(again?.headers.range).toBe(`bytes=${cutAt}-`);
      expect(again?.headers['if-range']).toBe(tag);
    }
    expect(server.bytesSent()).toBeLessThanOrEqual(file.length + 64 * 1024);
  });
});
