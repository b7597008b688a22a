/**
 * A bucket, as few requests as publishing needs, by paths below our prefix. Here they stand together; those of whole
 * objects are in objects.ts, those of uploads in parts in multipart.ts, and how a request is sent is in connection.ts.
 */
import type { S3Location } from './address.js';
import { connect, type BucketSettings } from './connection.js';
import { createMultipart, type Multipart } from './multipart.js';
import { createObjects, type Objects } from './objects.js';

export type { BucketSettings } from './connection.js';
export type { CompleteOptions, Upload } from './multipart.js';
export type { PutOptions, StoredObject } from './objects.js';
export { agrees, type Part } from './part.js';
export type { Body, Checksums, Condition } from './request-body.js';

export interface Bucket extends Objects, Multipart {
  readonly location: S3Location;
  close: () => void;
}

export function createBucket(settings: BucketSettings): Bucket {
  const connection = connect(settings);
  return {
    location: settings,
    ...createObjects(connection),
    ...createMultipart(connection),
    close: connection.close,
  };
}
