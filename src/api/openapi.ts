/**
 * OpenAPI 3.1 from the operations and the very schemas that validate. Requests are described as a client sends them
 * (before defaults), answers as it gets them.
 */
import { z } from 'zod';
import { jobEventSchema } from '../jobs/event.js';
import { jobSchema } from '../jobs/job.js';
import { problemSchema } from '../jobs/problem-schema.js';
import { geometrySchema } from '../jobs/product.js';
import { jobRequestSchema } from '../jobs/request.js';
import { jobResultSchema } from '../jobs/result.js';
import { problemKinds } from './http-problems.js';
import { needsBody, type Answer, type Operation } from './operation.js';
import { allOperations } from './operations.js';
import {
  batchAnswerSchema,
  batchRequestSchema,
  eventPageSchema,
  healthSchema,
  jobPageSchema,
  previewSchema,
  providersSchema,
  readySchema,
  streamedEventSchema,
  ticketSchema,
  tilesSchema,
} from './schemas.js';

type Json = Record<string, unknown>;

const requestComponents = { JobRequest: jobRequestSchema, BatchRequest: batchRequestSchema };
const answerComponents = {
  Job: jobSchema,
  JobPage: jobPageSchema,
  JobResult: jobResultSchema,
  JobEvent: jobEventSchema,
  EventPage: eventPageSchema,
  StreamedEvent: streamedEventSchema,
  BatchAnswer: batchAnswerSchema,
  Preview: previewSchema,
  Providers: providersSchema,
  Tiles: tilesSchema,
  Health: healthSchema,
  Ready: readySchema,
  Ticket: ticketSchema,
  Geometry: geometrySchema,
  Problem: problemSchema,
};

const names = new Map<z.ZodType, string>(
  Object.entries({ ...requestComponents, ...answerComponents }).map(([name, schema]) => [
    schema,
    name,
  ]),
);
const refTo = (name: string): Json => ({ $ref: `#/components/schemas/${name}` });

export function createOpenApi(version: string): Json {
  const paths: Record<string, Json> = {};
  for (const operation of allOperations)
    paths[operation.path] = {
      ...paths[operation.path],
      [operation.method]: describe(operation),
      ...(operation.headSummary && { head: describeHead(operation, operation.headSummary) }),
    };
  return {
    openapi: '3.1.0',
    jsonSchemaDialect: 'https://json-schema.org/draft/2020-12/schema',
    info: {
      title: 'Nimbus',
      version,
      summary: 'This area, these dates, this collection → verified satellite files',
      description:
        'Another method at an address of this document is answered as the response `MethodNotAllowed` says.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: [...new Set(allOperations.map(({ tag }) => tag))].map((name) => ({ name })),
    security: [{ apiKey: [] }, { bearer: [] }, {}],
    paths,
    components: {
      schemas: {
        ...toComponents(requestComponents, 'input'),
        ...toComponents(answerComponents, 'output'),
      },
      responses: { MethodNotAllowed: methodNotAllowed },
      securitySchemes: {
        apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
        bearer: { type: 'http', scheme: 'bearer' },
      },
    },
  };
}

function describe(operation: Operation): Json {
  const { id, tag, summary, description, open } = operation;
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(description && { description }),
    ...(open && { security: [{}] }),
    parameters: [
      ...pathParameters(operation),
      ...queryParameters(operation),
      ...headerParameters(operation),
    ],
    ...(operation.body && {
      requestBody: {
        required: needsBody(operation),
        content: {
          'application/json': {
            schema: schemaOf(operation.body, 'input'),
            ...(operation.example !== undefined && { example: operation.example }),
          },
        },
      },
    }),
    responses: { ...answersOf(operation), ...problemsOf(operation) },
  };
}

/** As GET, of the whole and without its body. */
function describeHead(operation: Operation, summary: string): Json {
  const { 206: _part, ...answers } = operation.answers;
  const problems = operation.problems.filter((code) => code !== 'RangeNotSatisfiable');
  const { Range: _range, 'If-Range': _ifRange, ...headers } = operation.headers ?? {};
  const {
    description: _description,
    responses,
    ...described
  } = describe({
    ...operation,
    ...{ id: `${operation.id}Head`, summary, answers, problems, headers },
  });
  const withoutContent = Object.entries(responses as Record<string, Json>).map(
    ([status, { content: _content, ...rest }]) => [status, rest],
  );
  return { ...described, responses: Object.fromEntries(withoutContent) as Json };
}

const pathParameters = ({ params = {} }: Operation): Json[] =>
  Object.entries(params).map(([name, description]) => ({
    name,
    in: 'path',
    required: true,
    description,
    schema: { type: 'string' },
  }));

const queryParameters = ({ query }: Operation): Json[] =>
  Object.entries(query?.shape ?? {}).map(([name, schema]) => {
    const { description, ...rest } = schemaOf(schema as z.ZodType, 'output');
    return {
      name,
      in: 'query',
      required: !(schema as z.ZodType).safeParse(undefined).success,
      ...(description === undefined ? {} : { description }),
      schema: rest,
    };
  });

const headerParameters = ({ headers = {} }: Operation): Json[] =>
  Object.entries(headers).map(([name, description]) => ({
    name,
    in: 'header',
    description,
    schema: { type: 'string' },
  }));

const answersOf = ({ answers }: Operation): Json =>
  Object.fromEntries(
    Object.entries(answers).map(([status, answer]) => [status, describeAnswer(answer)]),
  );

function describeAnswer({ description, schema, contentType, headers }: Answer): Json {
  const type = contentType ?? (schema && 'application/json');
  const described = Object.entries(headers ?? {}).map(([name, text]) => [
    name,
    { description: text, schema: { type: 'string' } },
  ]);
  return {
    description,
    ...(described.length > 0 && { headers: Object.fromEntries(described) as Json }),
    ...(type && {
      content: { [type]: { schema: schema ? schemaOf(schema, 'output') : { type: 'string' } } },
    }),
  };
}

const bodyProblems = ['BadRequest', 'InvalidInput', 'PayloadTooLarge', 'UnsupportedMediaType'];

const problemAnswer = (description: string): Json => ({
  description,
  content: { 'application/problem+json': { schema: refTo('Problem') } },
});

const methodNotAllowed: Json = {
  ...problemAnswer('MethodNotAllowed (405)'),
  headers: { Allow: { description: 'The methods that there are', schema: { type: 'string' } } },
};

/** By status; problems that share one are named together. */
function problemsOf(operation: Operation): Json {
  const codes = [
    ...operation.problems,
    ...(operation.open ? [] : ['Unauthorized']),
    ...(operation.query ? ['BadRequest'] : []),
    ...(operation.body ? bodyProblems : []),
    ...(operation.method === 'get' ? [] : ['OriginRefused']),
    'Internal',
  ];
  const byStatus: Record<number, string[]> = {};
  for (const { code, status } of problemKinds)
    if (codes.includes(code)) (byStatus[status] ??= []).push(code);
  const taken = Object.keys(operation.answers);
  return Object.fromEntries(
    Object.entries(byStatus)
      .filter(([status]) => !taken.includes(status))
      .map(([status, shared]) => [status, problemAnswer(shared.join(', '))]),
  );
}

function schemaOf(schema: z.ZodType, io: 'input' | 'output'): Json {
  const name = names.get(schema);
  if (name !== undefined) return refTo(name);
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' });
  return rest;
}

function toComponents(schemas: Record<string, z.ZodType>, io: 'input' | 'output'): Json {
  const registry = z.registry<{ id: string }>();
  for (const [id, schema] of Object.entries(schemas)) registry.add(schema, { id });
  const made = z.toJSONSchema(registry, {
    io,
    unrepresentable: 'any',
    uri: (id) => `#/components/schemas/${id}`,
  });
  return Object.fromEntries(
    Object.entries(made.schemas).map(([id, { $schema: _dialect, $id: _id, ...rest }]) => [
      id,
      rest,
    ]),
  );
}
