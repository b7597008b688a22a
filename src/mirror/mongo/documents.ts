/**
 * The stored documents and their way to and from the domain. Free-form data (requests, event data, errors) is kept as
 * JSON text: a key with a dot or a dollar in it means nothing to the database. Only what is searched, sorted or
 * compared is a field of its own. Events and artifacts have their own collections: no document grows with its job.
 */
import type { Document } from 'mongodb';
import type { EventBatch, JobEvent, StoredEventType } from '../../jobs/event.js';
import {
  hasEnded,
  type JobHeader,
  type JobRecord,
  type JobSnapshot,
  type JobState,
  type LiveProgress,
} from '../../jobs/job.js';
import { ServiceError } from '../../jobs/error-codes.js';
import { orderKey, searchText } from '../listing.js';
import type { SequencedEvent } from '../mirror.js';
import type { Checksum } from '../../jobs/product.js';
import { artifactsOf } from '../result.js';

/** A document may have 16 MiB; a job's holds two such texts. */
const TEXT_LIMIT_BYTES = 6 * 1024 * 1024;

export interface JobDocument {
  _id: string;
  /** Of the snapshot. */
  version: number;
  state: JobState;
  ended: boolean;
  provider: string;
  job_type: string;
  collection: string;
  search: string;
  by_created: string;
  by_updated: string;
  manifest: string | null;
  header: string;
  snapshot: string;
  /** Keyed by liveKey(product id). */
  live: Record<string, { at: Date; value: LiveProgress }>;
  /** Counts reports: tells the tail that live progress changed. */
  reports: number;
}

export interface EventDocument {
  /** The mirror's position, seq. */
  _id: number;
  job_id: string;
  number: number;
  type: StoredEventType;
  at: string;
  data: string;
}

export interface ArtifactDocument {
  job_id: string;
  path: string;
  checksum: Checksum;
  bytes: number;
}

/** `feed` holds the epoch and the last seq; `ping` is written by health checks. */
export interface CounterDocument {
  _id: 'feed' | 'ping';
  epoch?: string;
  seq?: number;
  at?: Date;
}

/** A batch, ready to be stored. */
export interface EncodedBatch {
  job: Omit<JobDocument, 'live' | 'reports'>;
  /** Live progress of these products is kept. */
  liveKeys: string[];
  events: Omit<EventDocument, '_id'>[];
  artifacts: ArtifactDocument[];
}

/** @throws ServiceError InvalidInput for what no document can hold */
export function encodeBatch({ header, snapshot, events }: EventBatch): EncodedBatch {
  return {
    job: encodeJob(header, snapshot),
    liveKeys: hasEnded(snapshot.state) ? [] : snapshot.in_flight.map(liveKey),
    events: events.map(({ job_id, number, type, at, data }) => ({
      job_id,
      number,
      type,
      at,
      data: toText(`Event ${number} of job ${job_id}`, data),
    })),
    artifacts: events.flatMap((event) =>
      artifactsOf(event).map(({ path, bytes, checksum: { algorithm, value } }) => ({
        job_id: event.job_id,
        path,
        checksum: { algorithm, value },
        bytes,
      })),
    ),
  };
}

export function encodeJob(header: JobHeader, snapshot: JobSnapshot): EncodedBatch['job'] {
  return {
    _id: header.job_id,
    version: snapshot.version,
    state: snapshot.state,
    ended: hasEnded(snapshot.state),
    provider: header.request.provider,
    job_type: header.job_type,
    collection: header.request.collection,
    search: searchText(header),
    by_created: orderKey(header.created_at, header.job_id),
    by_updated: orderKey(snapshot.updated_at, header.job_id),
    manifest: snapshot.manifest,
    header: toText(`Header of job ${header.job_id}`, header),
    snapshot: toText(`Snapshot of job ${header.job_id}`, snapshot),
  };
}

function toText(what: string, value: unknown): string {
  const text = JSON.stringify(value);
  const sizeBytes = Buffer.byteLength(text);
  if (sizeBytes <= TEXT_LIMIT_BYTES) return text;
  throw new ServiceError('InvalidInput', `${what} is too large to be mirrored: ${sizeBytes} bytes`);
}

/** The update that creates a job's document, or replaces it if the batch knows more. */
export function newerJobUpdate({ job, liveKeys }: EncodedBatch): Document[] {
  const kept = {
    $arrayToObject: {
      $filter: {
        input: { $objectToArray: { $ifNull: ['$live', {}] } },
        cond: { $in: ['$$this.k', { $literal: liveKeys }] },
      },
    },
  };
  const replaced = {
    $mergeObjects: [{ $literal: job }, { live: kept, reports: { $ifNull: ['$reports', 0] } }],
  };
  const isNewer = { $gt: [job.version, { $ifNull: ['$version', -1] }] };
  return [{ $replaceWith: { $cond: [isNewer, replaced, '$$ROOT'] } }];
}

/** A product id as a field name. */
export function liveKey(productId: string): string {
  return Buffer.from(productId).toString('base64url');
}

export function decodeJob(document: Pick<JobDocument, 'header' | 'snapshot' | 'live'>): JobRecord {
  return {
    header: JSON.parse(document.header) as JobHeader,
    snapshot: JSON.parse(document.snapshot) as JobSnapshot,
    live: Object.values(document.live).map((entry) => entry.value),
  };
}

export function decodeEvent(document: EventDocument): JobEvent {
  const { job_id, number, type, at, data } = document;
  return { job_id, number, type, at, data: JSON.parse(data) as JobEvent['data'] };
}

export function decodeSequenced(document: EventDocument): SequencedEvent {
  return { seq: document._id, event: decodeEvent(document) };
}
