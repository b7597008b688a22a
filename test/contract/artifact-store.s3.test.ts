/** A bucket keeps to the contract that the local directory keeps to, against a real server. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { GetObjectCommand } from '@aws-sdk/client-s3';
import type { Readable } from 'node:stream';
import { afterAll, beforeAll, describe } from 'vitest';
import { createS3Store } from '../../src/artifacts/index.js';
import {
  startVersitygw,
  testCredentials,
  versitygwMissing,
  type TestBucket,
} from '../support/versitygw.js';
import { describeArtifactStore } from './artifact-store.contract.js';

describe.skipIf(versitygwMissing !== null)(
  `an S3-compatible bucket${versitygwMissing === null ? '' : ` (skipped: ${versitygwMissing})`}`,
  () => {
    let server: TestBucket;
    let prefixes = 0;
    beforeAll(async () => {
      process.env['AWS_ACCESS_KEY_ID'] = testCredentials.accessKeyId;
      process.env['AWS_SECRET_ACCESS_KEY'] = testCredentials.secretAccessKey;
      server = await startVersitygw();
    });
    afterAll(() => server.close());

    describeArtifactStore('a bucket', async () => {
      const workDirectory = await mkdtemp(join(tmpdir(), 'nimbus-work-'));
      const prefix = `prefix/${++prefixes}`;
      const { bucket, endpoint } = server;
      const store = createS3Store({
        ...{ workDirectory, bucket, prefix, endpoint, region: null, forcePathStyle: true },
      });
      return {
        store,
        async read(path) {
          const Key = `${prefix}/${path}`;
          const { Body } = await server.client.send(new GetObjectCommand({ Bucket: bucket, Key }));
          return await buffer(Body as Readable);
        },
        async remove() {
          await store.close();
          await rm(workDirectory, { recursive: true, force: true });
        },
      };
    });
  },
);
