/**
 * Where Temporal is, by Temporal's own environment variables, and what Nimbus needs there. Connections are lazy: the API
 * starts before Temporal does.
 */
import { Client, Connection, isGrpcServiceError, type ConnectionOptions } from '@temporalio/client';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { ServiceError } from '../jobs/error-codes.js';
import { searchAttribute } from '../jobs/search-attributes.js';

type ChannelOptions = NonNullable<ConnectionOptions['channelArgs']>;

export interface TemporalSettings {
  /** TEMPORAL_* variables. */
  env: Record<string, string | undefined>;
  taskQueue: string;
  /** Root of the Temporal Web UI, for links; null = the dev server's own. */
  uiUrl: string | null;
}

const GRPC_ALREADY_EXISTS = 6;
const GRPC_INVALID_ARGUMENT = 3;
const CALL_TIMEOUT_MS = 5_000;
const KEYWORD = 2;

export function connectionSettings(env: TemporalSettings['env']) {
  const { connectionOptions, namespace } = loadClientConnectConfig({
    overrideEnvVars: definedOnly(env),
    disableFile: !env['TEMPORAL_CONFIG_FILE'],
  });
  return { connectionOptions, namespace: namespace ?? 'default' };
}

/** A server on this machine is asked straight, whatever proxy the environment names for gRPC. */
export function channelArgs(address = 'localhost'): ChannelOptions {
  const isLocal = /^(localhost|127\.[\d.]+|\[::1\])(:\d+)?$/.test(address);
  return isLocal ? { 'grpc.enable_http_proxy': 0 } : {};
}

export interface TemporalClient {
  client: Client;
  connection: Connection;
  namespace: string;
  /** Runs a call with a deadline. @throws ServiceError EngineUnavailable */
  call<T>(work: () => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

export function openClient(env: TemporalSettings['env']): TemporalClient {
  const { connectionOptions, namespace } = connectionSettings(env);
  const connection = Connection.lazy({
    ...connectionOptions,
    channelArgs: channelArgs(connectionOptions.address),
    connectTimeout: CALL_TIMEOUT_MS,
  });
  const client = new Client({ connection, namespace });
  return {
    client,
    connection,
    namespace,
    async call(work) {
      try {
        return await connection.withDeadline(Date.now() + CALL_TIMEOUT_MS, work);
      } catch (error) {
        throw isOutOfReach(error)
          ? new ServiceError('EngineUnavailable', 'Temporal does not answer', {
              cause: error,
              retryAfterMs: 5_000,
            })
          : error;
      }
    },
    close: () => connection.close(),
  };
}

/** Registers the search attributes that Nimbus filters by. Harmless to repeat, and for several processes at once. */
export async function registerSearchAttributes({
  connection,
  namespace,
  call,
}: TemporalClient): Promise<void> {
  const searchAttributes = Object.fromEntries(
    Object.values(searchAttribute).map(({ name }) => [name, KEYWORD]),
  );
  const { customAttributes } = await call(() =>
    connection.operatorService.listSearchAttributes({ namespace }),
  );
  const missing = Object.fromEntries(
    Object.entries(searchAttributes).filter(([name]) => !(name in customAttributes)),
  );
  if (Object.keys(missing).length === 0) return;
  try {
    await call(() =>
      connection.operatorService.addSearchAttributes({ namespace, searchAttributes: missing }),
    );
  } catch (error) {
    if (!isGrpcServiceError(error) || (error.code as number) !== GRPC_ALREADY_EXISTS) throw error;
  }
}

/** The server does not know a search attribute (yet): registration has not reached it. */
export function isUnknownAttribute(error: unknown): boolean {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  return (
    isGrpcServiceError(cause) &&
    (cause.code as number) === GRPC_INVALID_ARGUMENT &&
    /search attribute/i.test(cause.details)
  );
}

/** UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED, RESOURCE_EXHAUSTED, or a namespace that a starting server does not have yet. */
export function isOutOfReach(error: unknown): boolean {
  const cause = error instanceof Error && !isGrpcServiceError(error) ? error.cause : error;
  if (isGrpcServiceError(cause))
    return [1, 4, 8, 14].includes(cause.code) || /namespace .*not found/i.test(cause.details);
  return error instanceof Error && /failed to connect/i.test(error.message);
}

function definedOnly(env: Record<string, string | undefined>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}
