/**
 * Every route of the API, once. The same entry mounts the route (mount.ts), validates what comes in and becomes a part
 * of /openapi.json and /docs; createApp refuses to start when a route is missing here or nobody serves it.
 */
import { z } from 'zod';
import { jobSchema, jobStates, jobTypes } from '../jobs/job.js';
import { jobRequestSchema } from '../jobs/request.js';
import { jobResultSchema } from '../jobs/result.js';
import { operation, type Answer, type Operation } from './operation.js';
import { bbox, oneOrMore, shortText, wholeNumber } from './query.js';
import {
  batchAnswerSchema,
  batchRequestSchema,
  eventPageSchema,
  healthSchema,
  jobPageSchema,
  liveSchema,
  previewSchema,
  providersSchema,
  readySchema,
  ticketSchema,
  tilesSchema,
} from './schemas.js';

const idParam = { id: 'The job’s id' };
const noQuery = z.strictObject({});
const emptyBody = z.strictObject({}).default({});

const theJob = (description: string): Answer => ({ description, schema: jobSchema });
const accepted = (description: string): Answer => ({
  ...theJob(description),
  headers: { Location: 'Address of the job' },
});

const guideRequest = {
  job_type: 'search_download',
  provider: 'copernicus',
  collection: 'SENTINEL-2',
  product_type: 'S2MSI2A',
  start_date: '2025-01-01',
  end_date: '2025-01-03',
  aoi: { wkt: 'POLYGON((-7.8 33.4,-7.2 33.4,-7.2 33.8,-7.8 33.8,-7.8 33.4))' },
};

export const MOST_PAGE_SIZE = 500;
export const jobSorts = ['created_at', '-created_at', 'updated_at', '-updated_at'] as const;

const listQuery = z
  .strictObject({
    page: wholeNumber(1, 1_000_000)
      .optional()
      .meta({ default: 1, description: 'Not together with cursor' }),
    page_size: wholeNumber(1, MOST_PAGE_SIZE).default(50),
    state: oneOrMore(jobStates).optional().describe('May be given several times'),
    provider: shortText(40).optional(),
    job_type: z.enum(jobTypes, `Give one of: ${jobTypes.join(', ')}`).optional(),
    collection: shortText(80).optional(),
    q: shortText(100)
      .optional()
      .describe('Part of id, collection, product type or a label, in any case'),
    sort: z.enum(jobSorts).default('-created_at'),
    cursor: shortText(1000).optional(),
  })
  .superRefine(({ page, cursor }, context) => {
    if (page !== undefined && cursor !== undefined)
      context.addIssue({ code: 'custom', path: ['page'], message: 'Not together with cursor' });
  });

export const operations = {
  submitJob: operation({
    id: 'submitJob',
    method: 'post',
    path: '/v1/jobs',
    tag: 'Jobs',
    summary: 'Submit a job',
    description:
      'Starts the job’s workflow and answers as soon as it is durable. With `Idempotency-Key`, any number of equal requests are one job: the first is answered 202, a repeat 200; another body under the same key is 422.',
    query: noQuery,
    headers: { 'Idempotency-Key': 'Up to 255 visible ASCII characters, chosen by the caller' },
    body: jobRequestSchema,
    answers: { 202: accepted('Accepted'), 200: accepted('The job that this key already made') },
    problems: [
      'BadRequest',
      'InvalidInput',
      'PayloadTooLarge',
      'UnsupportedMediaType',
      'EngineUnavailable',
    ],
    example: guideRequest,
  }),
  submitBatch: operation({
    id: 'submitBatch',
    method: 'post',
    path: '/v1/jobs/batch',
    tag: 'Jobs',
    summary: 'Submit up to 500 jobs',
    description:
      'One item a request, in order: a job, or the problem that kept it from being one. With `Idempotency-Key`, an equal request at the same place of an equal key is the same job; another one there is an item with a 422 problem.',
    query: noQuery,
    headers: { 'Idempotency-Key': 'Up to 255 visible ASCII characters, chosen by the caller' },
    body: batchRequestSchema,
    answers: { 202: { description: 'One item a request, in order', schema: batchAnswerSchema } },
    problems: ['BadRequest', 'InvalidInput', 'PayloadTooLarge', 'UnsupportedMediaType'],
    example: { jobs: [guideRequest] },
  }),
  listJobs: operation({
    id: 'listJobs',
    method: 'get',
    path: '/v1/jobs',
    tag: 'Jobs',
    summary: 'List jobs',
    description:
      'Numbered pages reach one million jobs deep; `cursor` goes to any depth in constant time, for the same filter and sort, and goes without `page`.',
    query: listQuery,
    answers: { 200: { description: 'A page of jobs', schema: jobPageSchema } },
    problems: ['BadRequest', 'StoreUnavailable'],
  }),
  getJob: operation({
    id: 'getJob',
    method: 'get',
    path: '/v1/jobs/{id}',
    tag: 'Jobs',
    summary: 'Get a job',
    params: idParam,
    query: noQuery,
    answers: { 200: theJob('The job') },
    problems: ['NotFound', 'EngineUnavailable', 'StoreUnavailable'],
  }),
  cancelJob: operation({
    id: 'cancelJob',
    method: 'delete',
    path: '/v1/jobs/{id}',
    tag: 'Jobs',
    summary: 'Cancel a job',
    params: idParam,
    query: noQuery,
    answers: {
      202: theJob('Being cancelled'),
      200: theJob('Had already ended; unchanged'),
    },
    problems: ['NotFound', 'EngineUnavailable', 'StoreUnavailable'],
  }),
  retryJob: operation({
    id: 'retryJob',
    method: 'post',
    path: '/v1/jobs/{id}/retry',
    tag: 'Jobs',
    summary: 'Retry a job that has ended',
    description:
      'A new job with the same request; what is already held is verified and not fetched again.',
    params: idParam,
    query: noQuery,
    body: emptyBody,
    answers: { 202: accepted('The new job, with retry_of') },
    problems: ['NotFound', 'Conflict', 'EngineUnavailable', 'StoreUnavailable'],
  }),
  getResult: operation({
    id: 'getResult',
    method: 'get',
    path: '/v1/jobs/{id}/result',
    tag: 'Results',
    summary: 'Get the result of a job that has ended',
    description: 'A cancelled or failed job is answered too, with what it has.',
    params: idParam,
    query: noQuery,
    answers: { 200: { description: 'The result', schema: jobResultSchema } },
    problems: ['NotFound', 'Conflict', 'EngineUnavailable', 'StoreUnavailable'],
  }),
  listEvents: operation({
    id: 'listEvents',
    method: 'get',
    path: '/v1/jobs/{id}/events',
    tag: 'Events',
    summary: 'List the stored events of a job',
    params: idParam,
    query: z.strictObject({
      after: wholeNumber(0, 1_000_000_000).default(0).describe('Only events with a higher number'),
      limit: wholeNumber(1, 10_000).default(10_000),
    }),
    answers: { 200: { description: 'Events in order of number', schema: eventPageSchema } },
    problems: ['BadRequest', 'NotFound', 'EngineUnavailable', 'StoreUnavailable'],
  }),
  getFile: operation({
    id: 'getFile',
    method: 'get',
    path: '/v1/jobs/{id}/files/{path}',
    tag: 'Results',
    summary: 'Download a file of a job',
    headSummary: 'Length and digest of a file of a job, without its bytes',
    description:
      'Any of the result’s `paths`, or its `manifest`, as it stands there. Serves single ranges; several ranges at once are answered with the whole file. The strong ETag is the file’s digest.',
    params: { ...idParam, path: 'As in the result; slashes stay slashes' },
    query: noQuery,
    headers: {
      Range: '`bytes=0-1023`, `bytes=1024-` or `bytes=-500`',
      'If-Range': 'The ETag; another one gives the whole file',
      'If-None-Match': 'The ETag; the same one gives 304',
      'If-Match': 'The ETag; another one gives 412',
    },
    answers: {
      200: {
        description: 'The file',
        contentType: 'application/octet-stream',
        headers: { ETag: '"algorithm:digest"', 'Accept-Ranges': 'bytes' },
      },
      206: {
        description: 'A part of it',
        contentType: 'application/octet-stream',
        headers: { 'Content-Range': 'bytes first-last/length' },
      },
      304: { description: 'Unchanged' },
    },
    problems: ['NotFound', 'PreconditionFailed', 'RangeNotSatisfiable', 'StoreUnavailable'],
  }),
  streamEvents: operation({
    id: 'streamEvents',
    method: 'get',
    path: '/v1/events',
    tag: 'Events',
    summary: 'Follow events (server-sent events)',
    description:
      'Begins with one `snapshot` event (`data.jobs`: the job, or the 100 newest), then sends what happens. With `Last-Event-ID` it sends instead what was missed since, each stored event once and in order; an id that is unknown here gets a `snapshot` again. `job.progress` carries no id, at most twice a second for each job. The stream stays open after a job has ended.',
    query: z.strictObject({
      job_id: shortText(100).optional().describe('Only this job'),
      last_event_id: z.string('Give it once').optional().describe('Instead of the header'),
      ticket: shortText(200).optional().describe('From POST /v1/events/ticket, instead of the key'),
    }),
    headers: { 'Last-Event-ID': 'The id of the last event that was received' },
    answers: { 200: { description: 'The stream', contentType: 'text/event-stream' } },
    problems: ['BadRequest', 'NotFound', 'EngineUnavailable', 'StoreUnavailable'],
  }),
  createTicket: operation({
    id: 'createTicket',
    method: 'post',
    path: '/v1/events/ticket',
    tag: 'Events',
    summary: 'Get a ticket for one event stream',
    description:
      'A browser’s EventSource cannot send headers: it gives this ticket, good once and for 30 seconds.',
    query: noQuery,
    body: emptyBody,
    answers: { 200: { description: 'The ticket', schema: ticketSchema } },
    problems: [],
  }),
  previewSearch: operation({
    id: 'previewSearch',
    method: 'post',
    path: '/v1/search',
    tag: 'Search',
    summary: 'See what a job would fetch',
    description:
      'Takes a request as for a job, and searches as the job would, for a bounded time: `complete` tells whether it saw everything. Lists at most 1,000 products.',
    query: noQuery,
    body: jobRequestSchema,
    answers: { 200: { description: 'The preview', schema: previewSchema } },
    problems: [
      'BadRequest',
      'InvalidInput',
      'NotFound',
      'PayloadTooLarge',
      'UnsupportedMediaType',
      'SourceDenied',
      'SourceUnavailable',
      'SourceThrottled',
      'SourceRefused',
    ],
    example: guideRequest,
  }),
  listProviders: operation({
    id: 'listProviders',
    method: 'get',
    path: '/v1/providers',
    tag: 'Search',
    summary: 'List providers, their collections, limits and credentials',
    query: noQuery,
    answers: { 200: { description: 'The providers', schema: providersSchema } },
    problems: [],
  }),
  listTiles: operation({
    id: 'listTiles',
    method: 'get',
    path: '/v1/tiles',
    tag: 'Search',
    summary: 'Find tiles of a grid',
    query: z.strictObject({
      grid: z.enum(['mgrs'], 'Only mgrs').default('mgrs'),
      bbox: bbox.optional(),
      q: shortText(20).optional().describe('Beginning of a tile’s name, such as 29S'),
    }),
    answers: {
      200: {
        description: 'Tiles as GeoJSON, at most 1,000',
        schema: tilesSchema,
        contentType: 'application/geo+json',
      },
    },
    problems: ['BadRequest', 'InvalidInput'],
  }),
  getHealth: operation({
    id: 'getHealth',
    method: 'get',
    path: '/v1/health',
    tag: 'Operation',
    summary: 'How Nimbus is',
    query: noQuery,
    answers: { 200: { description: 'ok or degraded, and why', schema: healthSchema } },
    problems: [],
  }),
  getLive: operation({
    id: 'getLive',
    method: 'get',
    path: '/v1/health/live',
    tag: 'Operation',
    summary: 'Whether this process answers',
    query: noQuery,
    answers: { 200: { description: 'It does', schema: liveSchema } },
    problems: [],
    open: true,
  }),
  getReady: operation({
    id: 'getReady',
    method: 'get',
    path: '/v1/health/ready',
    tag: 'Operation',
    summary: 'Whether jobs can be submitted and read',
    query: noQuery,
    answers: {
      200: { description: 'Ready', schema: readySchema },
      503: { description: 'Temporal or the mirror does not answer', schema: readySchema },
    },
    problems: [],
  }),
  getMetrics: operation({
    id: 'getMetrics',
    method: 'get',
    path: '/v1/metrics',
    tag: 'Operation',
    summary: 'Prometheus metrics',
    description: 'Not there when NIMBUS_ENABLE_METRICS is false.',
    query: noQuery,
    answers: { 200: { description: 'Prometheus text format', contentType: 'text/plain' } },
    problems: ['NotFound'],
  }),
  getOpenApi: operation({
    id: 'getOpenApi',
    method: 'get',
    path: '/openapi.json',
    tag: 'Documentation',
    summary: 'This description, as OpenAPI 3.1',
    query: noQuery,
    answers: { 200: { description: 'The document', schema: z.looseObject({}) } },
    problems: [],
  }),
  getDocs: operation({
    id: 'getDocs',
    method: 'get',
    path: '/docs',
    tag: 'Documentation',
    summary: 'This description, as a page',
    query: noQuery,
    answers: { 200: { description: 'The page', contentType: 'text/html' } },
    problems: [],
  }),
  getProblemPage: operation({
    id: 'getProblemPage',
    method: 'get',
    path: '/problems/{code}',
    tag: 'Documentation',
    summary: 'What a problem means and what can be done',
    params: { code: 'As at the end of a problem’s type, such as not-found' },
    query: noQuery,
    answers: { 200: { description: 'The page', contentType: 'text/html' } },
    problems: ['NotFound'],
  }),
} satisfies Record<string, Operation>;

export const allOperations: readonly Operation[] = Object.values(operations);
