/** Fetches URLs straight to files, verified, with the transfer engine alone: no API, worker or database. */
import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import tls from 'node:tls';
import { syncFolder } from '../../artifacts/local/durable.js';
import { parseLimit } from '../../transfer/bandwidth-table.js';
import { CommandError, EXIT, type ExitCode } from '../exit-codes.js';
import { downloadAll, WORK_FOLDER } from '../get/downloads.js';
import { exitCodeFor, toFileLine, totalLine, toTotalLine } from '../get/report.js';
import { trustSystem, type TrustStore } from '../get/trust.js';
import { createGetView, createQuietView, type GetView } from '../get/view.js';
import { planFiles, type WantedOptions } from '../get/wanted.js';
import { makeDirectory } from '../local/make-directory.js';
import { createPaint, wantsColour } from '../output/paint.js';
import { plain } from '../output/text.js';
import { readProxies } from '../proxies.js';
import { aborted } from '../signals.js';
import type { Terminal } from '../terminal.js';

export interface GetOptions extends WantedOptions {
  out: string;
  connections: number;
  files: number;
  overwrite?: boolean;
  /** Bytes per second: `500k`, `2M`. */
  limitRate?: string;
  everyDigest?: boolean;
  /** Seconds. */
  timeout?: number;
  tries: number;
  quiet?: boolean;
}

/** An engine that cannot stop, because its disk does not answer, is left behind: all it would lose is fetched again. */
const GRACE_MS = 1_500;

export async function get(
  terminal: Terminal,
  options: GetOptions,
  ...urls: string[]
): Promise<ExitCode> {
  const { stop, json, printJson } = terminal;
  const plan = await planFiles(urls, options, stop.signal).catch((error: unknown) => {
    if (stop.which() !== null) return null;
    throw error;
  });
  if (plan === null) return stop.exitCode();
  const out = resolve(options.out);
  await makeOut(out);
  if (plan.files.some(({ url }) => url.protocol === 'https:')) trustSystem(tls as TrustStore);

  const startMs = performance.now();
  const view = viewFor(terminal, options, plan.files.length);
  const downloads = downloadAll(
    plan,
    {
      out,
      files: options.files,
      connections: options.connections,
      bytesPerSecond: readRate(options.limitRate),
      overwrite: options.overwrite === true,
      everyDigest: options.everyDigest === true,
      proxyFor: readProxies(terminal.env),
      ...(options.timeout !== undefined && { silenceMs: options.timeout * 1000 }),
      tries: options.tries,
      signal: stop.signal,
    },
    {
      ...view,
      ended(id, report) {
        view.ended(id, report);
        if (json) printJson(toFileLine(report));
      },
    },
  );
  const late = aborted(stop.signal).then(() => sleep(GRACE_MS, null, { ref: false }));
  const reports = await Promise.race([downloads, late]);
  view.end();
  if (reports !== null) {
    const totals = { reports, durationMs: performance.now() - startMs };
    if (json) printJson(toTotalLine(totals));
    if (!options.quiet && reports.length > 1) terminal.notes.say(totalLine(totals));
  }
  if (stop.which() === null) return exitCodeFor(reports ?? []);
  if (!options.quiet)
    terminal.notes.say(
      `Stopped. What came is kept in ${plain(options.out)}/${WORK_FOLDER}: the same command again goes on from there.`,
    );
  return stop.exitCode();
}

function viewFor({ people, paint, env }: Terminal, { quiet }: GetOptions, files: number): GetView {
  if (!quiet) return createGetView(people, paint, files);
  return createQuietView(process.stderr, createPaint(wantsColour(process.stderr, env)));
}

function readRate(text = 'off'): number | null {
  try {
    return parseLimit(text);
  } catch (error) {
    throw new CommandError(`--limit-rate: ${plain((error as Error).message)}`, EXIT.usage);
  }
}

/** A new folder's own name is made durable too. */
async function makeOut(out: string): Promise<void> {
  const isNew = !existsSync(out);
  makeDirectory(out, '--out');
  if (isNew) await syncFolder(dirname(out));
}
