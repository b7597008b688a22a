/** How fast jobs are taken down: in a file of its own, which runs beside no other. */
import { randomUUID } from 'node:crypto';
import { MongoClient } from 'mongodb';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createMongoMirror } from '../../src/mirror/mongo/mongo-mirror.js';
import { mongodMissing, startMongod } from '../support/mongod.js';
import { header, queued } from './mirror.fixtures.js';

describe.skipIf(mongodMissing)('MongoDB mirror', () => {
  // The machine may be busy with other things: one good run shows it.
  it('takes 150 submitted jobs a second and more, eight at a time', { retry: 3 }, async () => {
    const mongod = await startMongod();
    onTestFinished(() => mongod.close());
    const database = `nimbus-test-${randomUUID()}`;
    const mirror = createMongoMirror({ uri: mongod.uri, database });
    onTestFinished(async () => {
      await mirror.close();
      const client = new MongoClient(mongod.uri);
      await client.db(database).dropDatabase();
      await client.close();
    });
    await mirror.prepare();
    const started = performance.now();
    let left = 300;
    const submit = async () => {
      while (left-- > 0) await mirror.apply(queued(header()));
    };
    await Promise.all(Array.from({ length: 8 }, submit));
    expect(performance.now() - started).toBeLessThan(2_000);
  });
});
