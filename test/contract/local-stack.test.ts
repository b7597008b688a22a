/** The local servers as `nimbus up` runs them: they answer, survive a kill with their data, and move to another port. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MongoClient } from 'mongodb';
import { afterAll, describe, expect, it } from 'vitest';
import { findMongod, mongodServer, mongodUri } from '../../src/cli/local/mongod.js';
import { freePorts } from '../../src/cli/local/ports.js';
import { supervise } from '../../src/cli/local/supervised-process.js';
import { temporalAnswers } from '../../src/cli/local/temporal-server.js';
import { silentNotes } from '../../src/cli/output/notes.js';
import { startTemporal } from '../support/stack.js';

describe('local Temporal', () => {
  it('answers again after it was killed and started on the same data', async () => {
    const temporal = await startTemporal();
    try {
      expect(await temporalAnswers(temporal.address)).toBe(true);
      await temporal.process.kill('SIGKILL');
      expect(await temporalAnswers(temporal.address)).toBe(false);
      await temporal.process.start();
      expect(await temporalAnswers(temporal.address)).toBe(true);
    } finally {
      await temporal.close();
    }
    expect(await temporalAnswers(temporal.address)).toBe(false);
  });
});

describe('local mongod', () => {
  const directory = mkdtempSync(join(tmpdir(), 'nimbus-mongod-'));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  async function withMongod<T>(
    port: number,
    work: (client: MongoClient) => Promise<T>,
  ): Promise<T> {
    const context = { env: process.env, notes: silentNotes, signal: new AbortController().signal };
    const binary = await findMongod(context);
    const dataDir = join(directory, 'db');
    mkdirSync(dataDir, { recursive: true });
    const spec = { dataDir, logDir: directory, port, env: process.env, restart: false };
    const mongod = supervise(mongodServer({ binary: binary!, ...spec }), () => {});
    await mongod.start();
    const client = new MongoClient(mongodUri(port));
    try {
      return await work(client);
    } finally {
      await client.close();
      await mongod.stop();
    }
  }

  it('takes majority writes and keeps them on another port', async () => {
    const [first, second] = (await freePorts(2)) as [number, number];
    await withMongod(first, (client) =>
      client
        .db('t')
        .collection('c')
        .insertOne({ n: 1 }, { writeConcern: { w: 'majority' } }),
    );
    const found = await withMongod(second, (client) => client.db('t').collection('c').findOne({}));
    expect(found?.['n']).toBe(1);
  });
});
