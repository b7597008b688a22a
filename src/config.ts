/**
 * The only reader of process.env. A bad value names itself; the caller stops the process with exit code 78 (EX_CONFIG).
 * The table in docs/configuration.md and .env.example list the same variables; test/unit/config.test.ts holds them equal.
 */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { z } from 'zod';
import { assertTimeZone, parseBandwidth } from './transfer/bandwidth-table.js';
import { checksumAlgorithms, type ChecksumAlgorithm } from './jobs/product.js';

const flag = z
  .enum(['true', 'false', '1', '0', 'yes', 'no'])
  .transform((value) => ['true', '1', 'yes'].includes(value));
/** `expected` completes "Not …". */
const number = (expected: string, accepts: (value: number) => boolean) =>
  z.coerce.number(`Not ${expected}`).refine(accepts, `Not ${expected}`);
const whole = (min: number, max: number) =>
  number(
    `a whole number from ${min} to ${max}`,
    (value) => Number.isInteger(value) && value >= min && value <= max,
  );
const port = whole(1, 65_535);
const url = z
  .url({ protocol: /^https?$/, error: 'Not an http(s) address' })
  .transform((value) => value.replace(/\/+$/, ''));
const text = z.string().min(1);

/** Comma-separated. An origin has no path: `https://maps.example.org`. */
const origins = z.string().transform((value, context) => {
  const list = value
    .split(',')
    .map((origin) => origin.trim())
    .filter(Boolean);
  for (const origin of list)
    if (origin !== '*' && (!URL.canParse(origin) || new URL(origin).origin !== origin))
      context.addIssue({
        code: 'custom',
        message: `Not an origin: "${origin}" (example: https://maps.example.org)`,
      });
  return list;
});

const providerLimits = z.string().transform((value, context) => {
  const limits: Record<string, number> = {};
  for (const part of value
    .split(',')
    .map((piece) => piece.trim())
    .filter(Boolean)) {
    const match = /^([a-z][a-z0-9-]*)=([1-9]\d{0,3})$/.exec(part);
    if (!match) {
      context.addIssue({
        code: 'custom',
        message: `Not name=number: "${part}" (example: copernicus=2,usgs=4)`,
      });
      return z.NEVER;
    }
    limits[match[1]!] = Number(match[2]);
  }
  return limits;
});

const digestNames = z.string().transform((value, context) => {
  const names = value
    .toLowerCase()
    .split(',')
    .map((name) => name.trim())
    .filter(Boolean);
  for (const name of names)
    if (!(checksumAlgorithms as readonly string[]).includes(name))
      context.addIssue({
        code: 'custom',
        message: `Not a digest: "${name}" (there are ${checksumAlgorithms.join(', ')})`,
      });
  return [...new Set(names)] as ChecksumAlgorithm[];
});

/** Adds an issue with the words of what `check` throws. */
function says(check: () => unknown, context: z.RefinementCtx, prefix = ''): void {
  try {
    check();
  } catch (error) {
    context.addIssue({ code: 'custom', message: prefix + (error as Error).message });
  }
}

const bandwidth = z
  .string()
  .superRefine((value, context) => says(() => parseBandwidth(value, 'UTC'), context));

/** `copernicus=20M,usgs=Mon-08:00,2M Mon-18:00,off`: a comma before a name and `=` begins the next one. */
const providerBandwidth = z.string().transform((value, context) => {
  const limits: Record<string, string> = {};
  for (const part of value.split(/,(?=\s*[a-z][a-z0-9-]*=)/)) {
    const match = /^\s*([a-z][a-z0-9-]*)=(.*)$/.exec(part);
    if (!match || match[1] === 'all') {
      context.addIssue({
        code: 'custom',
        message: `Not provider=limit: "${part.trim()}" (example: copernicus=20M)`,
      });
      return z.NEVER;
    }
    const [, name = '', text = ''] = match;
    says(() => parseBandwidth(text, 'UTC'), context, `${name}: `);
    limits[name] = text.trim();
  }
  return limits;
});

const timeZone = z
  .string()
  .superRefine((value, context) => says(() => assertTimeZone(value), context));

/** What was given may hold a key, and is not repeated. */
const destination = z.string().transform((value, context) => {
  const match =
    /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])((?:\/[A-Za-z0-9_][A-Za-z0-9._-]*)*)\/?$/.exec(
      value,
    );
  if (match) return { bucket: match[1]!, prefix: match[2]!.slice(1) };
  context.addIssue({
    code: 'custom',
    message: 'Not s3://bucket or s3://bucket/prefix (letters, digits, dots, dashes)',
  });
  return z.NEVER;
});

/** One entry a variable: how it is checked, and its default. `''` in the environment means "not set". */
export const variables = {
  NIMBUS_API_HOST: text.default('127.0.0.1'),
  NIMBUS_API_PORT: port.default(8000),
  NIMBUS_API_KEY: z.string().min(8, 'Shorter than 8 characters').optional(),
  NIMBUS_CORS_ORIGINS: origins.default([]),
  NIMBUS_MAX_REQUEST_MB: number(
    'a number above 0, at most 64',
    (value) => value > 0 && value <= 64,
  ).default(2),
  NIMBUS_ENABLE_METRICS: flag.default(true),
  NIMBUS_RUNTIME_ROLE: z.enum(['api', 'worker', 'all']).default('all'),
  NIMBUS_DB_BACKEND: z.enum(['mongodb', 'sqlite']).default('mongodb'),
  NIMBUS_MONGODB_URI: z
    .string()
    .regex(/^mongodb(\+srv)?:\/\//, 'Not a mongodb:// address')
    .optional(),
  NIMBUS_MONGODB_DB: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,63}$/, 'Letters, digits, dash and underscore only')
    .default('nimbus'),
  NIMBUS_DB_PATH: text.optional(),
  NIMBUS_DATA_DIR: text.default('./data'),
  NIMBUS_DISK_MARGIN_MB: number('a number of MiB, 0 or more', (value) => value >= 0).optional(),
  NIMBUS_DESTINATION: destination.optional(),
  NIMBUS_S3_ENDPOINT: url
    .refine((value) => new URL(value).origin === value, 'Not the root of a server, without a login')
    .optional(),
  NIMBUS_S3_REGION: z
    .string()
    .regex(/^[a-z0-9-]{1,40}$/, 'Small letters, digits and dashes only')
    .optional(),
  NIMBUS_S3_FORCE_PATH_STYLE: flag.optional(),
  NIMBUS_MAX_JOBS: whole(1, 64).default(4),
  NIMBUS_PROVIDER_LIMITS: providerLimits.default({ copernicus: 4 }),
  NIMBUS_BANDWIDTH: bandwidth.optional(),
  NIMBUS_PROVIDER_BANDWIDTH: providerBandwidth.default({}),
  NIMBUS_TIME_ZONE: timeZone.optional(),
  NIMBUS_KEEP_DIGESTS: digestNames.default([]),
  NIMBUS_STALE_JOB_SECONDS: number(
    'a number of seconds from 5 to 3600',
    (value) => value >= 5 && value <= 3600,
  ).default(15),
  NIMBUS_QUEUE_POLL_SECONDS: number('a number above 0', (value) => value > 0).optional(),
  NIMBUS_COPERNICUS_BASE_URL: url.default('https://catalogue.dataspace.copernicus.eu'),
  NIMBUS_COPERNICUS_DOWNLOAD_URL: url.default('https://download.dataspace.copernicus.eu'),
  NIMBUS_COPERNICUS_TOKEN_URL: url.default(
    'https://identity.dataspace.copernicus.eu/auth/realms/CDSE/protocol/openid-connect/token',
  ),
  NIMBUS_COPERNICUS_USERNAME: text.optional(),
  NIMBUS_COPERNICUS_PASSWORD: text.optional(),
  NIMBUS_USGS_SERVICE_URL: url.optional(),
  NIMBUS_USGS_USERNAME: text.optional(),
  NIMBUS_USGS_TOKEN: text.optional(),
  NIMBUS_SERVICE_URL: url.optional(),
  NIMBUS_UI_DATA_DIR: text.optional(),
  NIMBUS_UI_PORT: port.optional(),
  NIMBUS_LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'),
  NIMBUS_TASK_QUEUE: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,100}$/, 'Letters, digits, dash and underscore only')
    .default('nimbus'),
  NIMBUS_TEMPORAL_UI_URL: url.optional(),
  TEMPORAL_ADDRESS: z
    .string()
    .regex(/^(https?:\/\/)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?$/, 'Not host:port')
    .optional(),
  TEMPORAL_TLS: flag.optional(),
} as const;

const environmentSchema = z.object(variables);

export type Environment = z.infer<typeof environmentSchema>;

export interface Config {
  api: {
    host: string;
    port: number;
    key: string | null;
    corsOrigins: string[];
    maxRequestBytes: number;
    metrics: boolean;
  };
  role: 'api' | 'worker' | 'all';
  mirror:
    { backend: 'mongodb'; uri: string; database: string } | { backend: 'sqlite'; path: string };
  dataDir: string;
  /** A bucket that final files and records go to; null = the data directory. */
  destination: {
    bucket: string;
    prefix: string;
    endpoint: string | null;
    region: string | null;
    forcePathStyle: boolean;
  } | null;
  /** Of the data directory's disk, that no transfer is promised; null = 2 % of it, at most 1 GiB. */
  diskMarginBytes: number | null;
  /** Texts as `parseBandwidth` reads them; `all` is the line that everything goes through, the others are providers'. */
  bandwidth: { limits: Record<string, string>; timeZone: string };
  worker: {
    maxTransfers: number;
    staleSeconds: number;
    providerLimits: Record<string, number>;
    keepDigests: ChecksumAlgorithm[];
  };
  copernicus: {
    baseUrl: string;
    downloadUrl: string;
    tokenUrl: string;
    username: string | null;
    password: string | null;
  };
  temporal: { taskQueue: string; uiUrl: string | null; env: Record<string, string | undefined> };
  logLevel: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  /** Variables that are accepted and do nothing, with the reason: reported once at start. */
  unused: string[];
}

/** A variable that cannot be used. Exit code 78. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  constructor(readonly problems: { variable: string; message: string }[]) {
    super(problems.map(({ variable, message }) => `${variable}: ${message}`).join('\n'));
  }
}

/** Reads `.env` in the working directory when there is one; what is already in the environment wins. */
export function loadDotEnv(directory: string = process.cwd()): void {
  const file = resolve(directory, '.env');
  if (existsSync(file)) process.loadEnvFile(file);
}

/** @throws ConfigError naming every bad variable at once */
export function readConfig(environment: Record<string, string | undefined> = process.env): Config {
  const given = Object.fromEntries(
    Object.entries(environment).filter(([, value]) => value !== undefined && value !== ''),
  );
  const parsed = environmentSchema.safeParse(given);
  const problems = parsed.success
    ? []
    : parsed.error.issues.map((issue) => ({
        variable: issue.path.join('.'),
        message: issue.message,
      }));
  if (!parsed.success) throw new ConfigError(problems);
  const env = parsed.data;
  const dataDir = resolve(env.NIMBUS_DATA_DIR);
  return deepFreeze({
    api: {
      host: env.NIMBUS_API_HOST,
      port: env.NIMBUS_API_PORT,
      key: env.NIMBUS_API_KEY ?? null,
      corsOrigins: env.NIMBUS_CORS_ORIGINS,
      maxRequestBytes: Math.floor(env.NIMBUS_MAX_REQUEST_MB * 1024 * 1024),
      metrics: env.NIMBUS_ENABLE_METRICS,
    },
    role: env.NIMBUS_RUNTIME_ROLE,
    mirror:
      env.NIMBUS_DB_BACKEND === 'mongodb'
        ? {
            backend: 'mongodb',
            uri: env.NIMBUS_MONGODB_URI ?? 'mongodb://127.0.0.1:27017/?replicaSet=nimbus',
            database: env.NIMBUS_MONGODB_DB,
          }
        : { backend: 'sqlite', path: resolve(env.NIMBUS_DB_PATH ?? `${dataDir}/nimbus.db`) },
    dataDir,
    destination:
      env.NIMBUS_DESTINATION === undefined
        ? null
        : {
            ...env.NIMBUS_DESTINATION,
            endpoint: env.NIMBUS_S3_ENDPOINT ?? null,
            region: env.NIMBUS_S3_REGION ?? null,
            forcePathStyle: env.NIMBUS_S3_FORCE_PATH_STYLE ?? env.NIMBUS_S3_ENDPOINT !== undefined,
          },
    diskMarginBytes:
      env.NIMBUS_DISK_MARGIN_MB === undefined
        ? null
        : Math.round(env.NIMBUS_DISK_MARGIN_MB * 1024 * 1024),
    bandwidth: {
      limits: {
        ...(env.NIMBUS_BANDWIDTH === undefined ? {} : { all: env.NIMBUS_BANDWIDTH }),
        ...env.NIMBUS_PROVIDER_BANDWIDTH,
      },
      timeZone: env.NIMBUS_TIME_ZONE ?? Intl.DateTimeFormat().resolvedOptions().timeZone,
    },
    worker: {
      maxTransfers: env.NIMBUS_MAX_JOBS,
      staleSeconds: env.NIMBUS_STALE_JOB_SECONDS,
      providerLimits: { copernicus: 4, ...env.NIMBUS_PROVIDER_LIMITS },
      keepDigests: env.NIMBUS_KEEP_DIGESTS,
    },
    copernicus: {
      baseUrl: env.NIMBUS_COPERNICUS_BASE_URL,
      downloadUrl: env.NIMBUS_COPERNICUS_DOWNLOAD_URL,
      tokenUrl: env.NIMBUS_COPERNICUS_TOKEN_URL,
      username: env.NIMBUS_COPERNICUS_USERNAME ?? null,
      password: env.NIMBUS_COPERNICUS_PASSWORD ?? null,
    },
    temporal: {
      taskQueue: env.NIMBUS_TASK_QUEUE,
      uiUrl: env.NIMBUS_TEMPORAL_UI_URL ?? null,
      env: Object.fromEntries(
        Object.entries(given).filter(([name]) => name.startsWith('TEMPORAL_')),
      ),
    },
    logLevel: env.NIMBUS_LOG_LEVEL,
    unused: [
      ...(env.NIMBUS_QUEUE_POLL_SECONDS === undefined
        ? []
        : ['NIMBUS_QUEUE_POLL_SECONDS is not used: the engine pushes work to the workers']),
      ...Object.keys(given)
        .filter((name) => name.startsWith('NIMBUS_S3_') && name in variables)
        .filter(() => env.NIMBUS_DESTINATION === undefined)
        .map((name) => `${name} is not used without NIMBUS_DESTINATION`),
      ...Object.keys(given)
        .filter((name) => name.startsWith('NIMBUS_') && !(name in variables))
        .map((name) => `${name} is not a variable of Nimbus: is it mistyped?`),
    ],
  });
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}
