import { createServer, type AddressInfo, type Server } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { freePorts, isPortFree, pickPort } from '../../../src/cli/local/ports.js';

const open: Server[] = [];
afterEach(() =>
  Promise.all(open.splice(0).map((server) => new Promise((end) => server.close(end)))),
);

async function takePort(): Promise<number> {
  const server = createServer();
  open.push(server);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return (server.address() as AddressInfo).port;
}

const wish = { what: 'the API', changedBy: 'NIMBUS_API_PORT' };

describe('pickPort', () => {
  it('takes the wanted port when it is free', async () => {
    const [port] = (await freePorts(1)) as [number];
    expect(await pickPort({ ...wish, wanted: port, chosen: false }, () => {})).toBe(port);
  });

  it('moves a default port to the next free one and says so', async () => {
    const taken = await takePort();
    const said: string[] = [];
    const port = await pickPort({ ...wish, wanted: taken, chosen: false }, (line) =>
      said.push(line),
    );
    expect(port).toBeGreaterThan(taken);
    expect(await isPortFree(port)).toBe(true);
    expect(said).toEqual([`Port ${taken} is in use: the API listens on ${port} instead`]);
  });

  it('never replaces a chosen port: names it, who wants it and what changes it', async () => {
    const taken = await takePort();
    await expect(
      pickPort({ ...wish, wanted: taken, chosen: true }, () => {}),
    ).rejects.toMatchObject({
      exitCode: 69,
      message: `Port ${taken} is in use by another program, and the API wants it`,
      nextStep: expect.stringContaining('NIMBUS_API_PORT'),
    });
  });

  it('leaves out ports that are already promised', async () => {
    const [port] = (await freePorts(1)) as [number];
    const picked = await pickPort(
      { ...wish, wanted: port, chosen: false },
      () => {},
      new Set([port]),
    );
    expect(picked).not.toBe(port);
  });
});
