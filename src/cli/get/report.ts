/** What became of the files of one `nimbus get`: for people as lines, for scripts as JSON, for the shell as an exit code. */
import type { ErrorCode } from '../../jobs/error-codes.js';
import { ERROR_CODES } from '../../jobs/error-codes.js';
import type { Checksum, VerificationLevel } from '../../jobs/product.js';
import { EXIT, exitCodeOf, type ExitCode } from '../exit-codes.js';
import type { Paint } from '../output/paint.js';
import { bytes, plain, seconds } from '../output/text.js';

export interface FileReport {
  /** Without user part and query. */
  url: string;
  name: string;
  /** Where it is now; null unless fetched or reused. */
  path: string | null;
  outcome: 'fetched' | 'reused' | 'failed' | 'stopped';
  /** Of the file; where there is none yet, how many are kept. */
  bytes: number;
  bytesFetched: number;
  durationMs: number;
  /** Times that it was asked for again. */
  retries: number;
  resumedFrom: number;
  checksum: (Checksum & { level: VerificationLevel }) | null;
  digests: Checksum[];
  error: { code: ErrorCode; message: string } | null;
}

export interface Totals {
  reports: FileReport[];
  /** All files at once, as a clock on the wall measures it. */
  durationMs: number;
}

const levelWords: Record<VerificationLevel, (algorithm: string) => string> = {
  provider: (algorithm) => `${algorithm} matches`,
  manifest: () => 'verified by the digests inside it',
  structure: () => 'its structure is whole',
  length: () => 'its length is right',
  none: () => 'not verified',
};

export function reportLines(report: FileReport, paint: Paint): string[] {
  const name = plain(report.name);
  if (report.error !== null) {
    const next = nextStep(report.error.code);
    return [
      `${paint.red('✗')} ${name}  ${plain(report.error.message)}`,
      ...(next === null ? [] : [`    ${next}`]),
    ];
  }
  if (report.outcome === 'stopped')
    return [`${paint.yellow('–')} ${name}  ${bytes(report.bytes)} kept`];
  const { checksum } = report;
  const proof = checksum ? [levelWords[checksum.level](checksum.algorithm)] : [];
  const how =
    report.outcome === 'reused'
      ? ['already there']
      : [
          ...(report.resumedFrom > 0 ? [`went on from ${bytes(report.resumedFrom)}`] : []),
          `${seconds(report.durationMs)}, ${rate(report.bytesFetched, report.durationMs)}`,
        ];
  return [`${paint.green('✓')} ${name}  ${[bytes(report.bytes), ...how, ...proof].join(', ')}`];
}

const rate = (fetched: number, durationMs: number): string =>
  `${bytes(megabytes(fetched, durationMs) * 1e6)}/s`;

const megabytes = (fetched: number, durationMs: number): number =>
  Math.round(fetched / Math.max(durationMs, 1) / 10) / 100;

const GO_ON = 'The same command again goes on from what is there';
const nextSteps: Partial<Record<ErrorCode, string>> = {
  SourceDenied: 'Give what the server wants to see with --header',
  SourceGone: 'Check the address',
  SourceThrottled: GO_ON,
  SourceUnavailable: GO_ON,
  StoreUnavailable: `Check the folder; ${GO_ON.toLowerCase()}`,
  StorageFull: `Free some space; ${GO_ON.toLowerCase()}`,
  Interrupted: 'Another nimbus get works on this file: let it, or stop it',
  ChecksumMismatch: 'Nothing was put in place; check the digest, or try again later',
  ChecksumDisputed: 'Two equal copies contradict the digest: check where it comes from',
  Conflict: '--overwrite puts the new one in its place',
};
export const nextStep = (code: ErrorCode): string | null => nextSteps[code] ?? null;

/** `64 files, 1.1 GB, 2.0 s, 537 MB/s`, and what did not go well. */
export function totalLine({ reports, durationMs }: Totals): string {
  const count = (...outcomes: FileReport['outcome'][]): FileReport[] =>
    reports.filter(({ outcome }) => outcomes.includes(outcome));
  const good = count('fetched', 'reused');
  const notes = (['reused', 'failed', 'stopped'] as const).flatMap((outcome) => {
    const found = count(outcome).length;
    return found === 0 ? [] : [`${found} ${outcome === 'reused' ? 'already there' : outcome}`];
  });
  return [
    `${good.length} of ${reports.length} files`,
    bytes(sum(good, 'bytes')),
    seconds(durationMs),
    rate(sum(reports, 'bytesFetched'), durationMs),
    ...notes,
  ].join(', ');
}

const sum = (reports: FileReport[], key: 'bytes' | 'bytesFetched' | 'retries'): number =>
  reports.reduce((total, report) => total + report[key], 0);

/** One JSON object a file. Units: bytes, seconds, millions of bytes a second. */
export function toFileLine(report: FileReport): Record<string, unknown> {
  const { error } = report;
  return {
    kind: 'file',
    url: report.url,
    name: report.name,
    path: report.path,
    outcome: report.outcome,
    bytes: report.bytes,
    bytes_fetched: report.bytesFetched,
    seconds: report.durationMs / 1000,
    mb_per_second: megabytes(report.bytesFetched, report.durationMs),
    retries: report.retries,
    resumed_from: report.resumedFrom,
    checksum: report.checksum,
    digests: report.digests,
    error: error && { ...error, title: ERROR_CODES[error.code].title, next: nextStep(error.code) },
  };
}

export function toTotalLine({ reports, durationMs }: Totals): Record<string, unknown> {
  const count = (wanted: FileReport['outcome']): number =>
    reports.filter(({ outcome }) => outcome === wanted).length;
  const fetched = sum(reports, 'bytesFetched');
  return {
    kind: 'total',
    files: reports.length,
    fetched: count('fetched'),
    reused: count('reused'),
    failed: count('failed'),
    stopped: count('stopped'),
    bytes: sum(reports, 'bytes'),
    bytes_fetched: fetched,
    seconds: durationMs / 1000,
    mb_per_second: megabytes(fetched, durationMs),
    retries: sum(reports, 'retries'),
  };
}

/** 0 when every file is there; the one reason where all that failed did so for it; else 1. */
export function exitCodeFor(reports: readonly FileReport[]): ExitCode {
  const codes = new Set(reports.flatMap(({ error }) => (error ? [exitCodeOf(error.code)] : [])));
  const [code] = codes;
  if (code === undefined) return EXIT.ok;
  return codes.size === 1 ? code : EXIT.failed;
}
