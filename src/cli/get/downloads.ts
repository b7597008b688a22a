/**
 * Fetches wanted files with one transfer engine and puts each under its final name. Unfinished bytes lie below
 * `<out>/.nimbus-get/<key>`, on the same file system, so that the last step is a link. A file under its final name is
 * whole, as far as its digest or its length can tell; whatever ends a run leaves what the next one goes on from.
 */
import { lstat, mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { removeFolder } from '../../artifacts/local/paths.js';
import { publishFile } from '../../artifacts/local/publish.js';
import { isServiceError, ServiceError } from '../../jobs/error-codes.js';
import type { Checksum, ChecksumAlgorithm, VerificationLevel } from '../../jobs/product.js';
import { Limiter } from '../../transfer/bandwidth.js';
import { preferred } from '../../transfer/checksums.js';
import {
  createConnectionSlots,
  createHashPool,
  createTransferEngine,
  errnoOf,
  hashFile,
  toStoreError,
  type ConnectionSlots,
  type ProxyFor,
  type TransferEngine,
  type TransferOptions,
  type TransferResult,
} from '../../transfer/index.js';
import { CommandError } from '../exit-codes.js';
import { seconds } from '../output/text.js';
import type { FileReport } from './report.js';
import type { GetView } from './view.js';
import { hostOf, type Plan, type Wanted } from './wanted.js';

export interface DownloadSettings {
  /** Exists already. */
  out: string;
  /** Files at once. */
  files: number;
  /** Of all files together, at any moment. */
  connections: number;
  /** Of all files together; null = no limit. */
  bytesPerSecond: number | null;
  overwrite: boolean;
  /** Compares every digest that is known, not the cheapest of them alone. */
  everyDigest: boolean;
  proxyFor: ProxyFor;
  /** Longest silence before an answer begins and inside it, in milliseconds; else what the engine takes for each. */
  silenceMs?: number;
  /** Tries in a row that bring next to nothing, and waits that a server may ask for, before a file is given up. */
  tries: number;
  signal: AbortSignal;
}

export const WORK_FOLDER = '.nimbus-get';

/** Every file of the plan, good or not, as it ends. Never rejects for what is wrong with one file. */
export async function downloadAll(
  plan: Plan,
  settings: DownloadSettings,
  view: GetView,
): Promise<FileReport[]> {
  const downloads = new Downloads(plan, settings, view);
  const queue = plan.files.values();
  const reports: FileReport[] = [];
  const take = async (): Promise<void> => {
    // Lanes share one iterator: each file is taken once.
    for (const wanted of queue) {
      if (settings.signal.aborted) return;
      const report = await downloads.get(wanted);
      view.ended(wanted.key, report);
      reports.push(report);
    }
  };
  const lanes = Math.min(filesUnderWay(settings), plan.files.length);
  await Promise.all(Array.from({ length: lanes }, take));
  await downloads.close(reports.length === plan.files.length && reports.every(isThere));
  return reports;
}

/** While some are put in place, as many are ready to be fetched; where connections limit how many are, at any rate. */
const filesUnderWay = ({ files, connections }: DownloadSettings): number =>
  connections <= files ? 2 * files : files;

const isThere = ({ path }: FileReport): boolean => path !== null;

/** After these, a folder without bytes has nothing that the next run could use: no earlier copy is remembered there. */
const holdsNothing = (error: unknown): boolean =>
  isServiceError(error) &&
  /^(Source(Unavailable|Throttled|Denied|Gone|Refused)|Cancelled)$/.test(error.code);

/** A file on disk that is known to be the wanted one. */
type Held = Pick<FileReport, 'bytes' | 'checksum' | 'digests'> & { path: string };

class Downloads {
  readonly #engine: TransferEngine;
  readonly #pool = createHashPool(1);
  readonly #slots: ConnectionSlots;
  readonly #limiter: Limiter | null;
  readonly #work: string;
  /** Keys of files without a digest that are in place: remembered on disk until all files are. */
  readonly #receipts: string[] = [];

  constructor(
    readonly plan: Plan,
    readonly settings: DownloadSettings,
    readonly view: GetView,
  ) {
    this.#work = join(settings.out, WORK_FOLDER);
    this.#engine = createTransferEngine({ proxyFor: settings.proxyFor });
    this.#slots = createConnectionSlots(settings.connections);
    const { bytesPerSecond } = settings;
    this.#limiter = bytesPerSecond === null ? null : new Limiter(bytesPerSecond);
  }

  async get(wanted: Wanted): Promise<FileReport> {
    const startMs = performance.now();
    const counts = { retries: 0, kept: 0, resumedFrom: 0 };
    const report = (facts: Partial<FileReport>): FileReport => ({
      url: wanted.shown,
      name: wanted.name,
      path: null,
      outcome: 'failed',
      bytes: counts.kept,
      bytesFetched: 0,
      durationMs: performance.now() - startMs,
      retries: counts.retries,
      resumedFrom: counts.resumedFrom,
      checksum: null,
      digests: [],
      error: null,
      ...facts,
    });
    try {
      const held = await this.#findHeld(wanted);
      if (held) return report({ ...held, outcome: 'reused' });
      const result = await this.#transfer(wanted, counts).catch(async (error: unknown) => {
        if (counts.kept === 0 && holdsNothing(error)) await this.#discard(wanted.key);
        throw error;
      });
      const { bytesFetched, resumedFrom } = result;
      const placed = await this.#publish(wanted, result);
      return report({ ...placed, bytesFetched, resumedFrom, outcome: 'fetched' });
    } catch (error) {
      if (this.settings.signal.aborted) return report({ outcome: 'stopped' });
      return report({ error: this.#explain(error, wanted) });
    }
  }

  /** Rethrows what is a bug. */
  #explain(error: unknown, wanted: Wanted): FileReport['error'] {
    if (error instanceof CommandError) return { code: 'InvalidInput', message: error.message };
    const failure = toStoreError(error);
    if (!isServiceError(failure)) throw failure;
    const { code, message, details } = failure;
    const kept = details['kept_as'];
    const where = typeof kept === 'string' ? ` (kept: ${join(this.#folderOf(wanted), kept)})` : '';
    return { code, message: `${message}${where}` };
  }

  /** @param done nothing is left to go on from */
  async close(done: boolean): Promise<void> {
    if (done) for (const key of this.#receipts) await this.#discard(key);
    // Not empty: another run, or an earlier one with other URLs, has bytes there.
    await rmdir(this.#work).catch(() => {});
    await Promise.all([this.#engine.close(), this.#pool.close()]);
  }

  #folderOf({ key }: { key: string }): string {
    return join(this.#work, key);
  }

  async #discard(key: string): Promise<void> {
    // Not empty: another run has just taken it over.
    await removeFolder(this.#folderOf({ key })).catch((error: unknown) => {
      if (errnoOf(error) !== 'ENOTEMPTY') throw error;
    });
  }

  // ---- what is there already

  async #findHeld(wanted: Wanted): Promise<Held | null> {
    const receipt = wanted.checksums.length === 0 ? await this.#readReceipt(wanted) : null;
    const known = receipt?.digests ?? wanted.checksums;
    const cheapest = preferred(known);
    const path = join(this.settings.out, receipt?.name ?? wanted.name);
    const facts = await lstat(path).catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return null;
      throw error;
    });
    if (!facts || !cheapest) return null;
    const announced = this.settings.everyDigest ? known : [cheapest];
    const found = facts.isFile() ? await this.#hash(path, announced) : null;
    const checksum = found?.digests.find(({ algorithm }) => algorithm === cheapest.algorithm);
    if (found && checksum && contains(found.digests, announced)) {
      if (receipt) this.#receipts.push(wanted.key);
      else await this.#discard(wanted.key);
      return { path, ...found, checksum: { ...checksum, level: receipt?.level ?? 'provider' } };
    }
    if (this.settings.overwrite || receipt) return null;
    throw new ServiceError('Conflict', `${path} is there, with another ${cheapest.algorithm}`);
  }

  #hash(path: string, checksums: Checksum[]): Promise<{ bytes: number; digests: Checksum[] }> {
    const algorithms = checksums.map(({ algorithm }) => algorithm);
    return hashFile(this.#pool, path, algorithms, this.settings.signal);
  }

  // ---- the transfer

  async #transfer(
    wanted: Wanted,
    counts: { retries: number; kept: number; resumedFrom: number },
  ): Promise<TransferResult> {
    const { plan, settings, view } = this;
    const host = hostOf(wanted.url);
    const source = {
      key: wanted.key,
      url: wanted.url.href,
      headers: async () => wanted.headers,
      rejected: () => undefined,
      trustedHosts: [host],
      plainHttpHosts: plan.plainHttpHosts,
      expectedBytes: null,
      checksums: wanted.checksums,
      fallbackName: wanted.name,
      translate: () => null,
    };
    const options: TransferOptions = {
      directory: this.#folderOf(wanted),
      signal: settings.signal,
      slots: this.#slots,
      ...(this.#limiter ? { bandwidth: this.#limiter.join() } : {}),
      digests: this.#digestsFor(wanted),
      limits: {
        ...(settings.silenceMs !== undefined && {
          idleMs: settings.silenceMs,
          headersMs: settings.silenceMs,
        }),
        triesWithoutProgress: settings.tries,
      },
      onProgress: (progress) => {
        counts.kept = progress.bytes;
        view.progress(wanted.key, wanted.name, progress);
      },
      onNote: (note) => {
        if (note.type === 'resumed') return void (counts.resumedFrom = note.offset);
        counts.retries += 1;
        view.said(wanted.name, `${note.reason}; asking again`);
      },
    };
    let waits = 0;
    for (;;) {
      const kept = counts.kept;
      try {
        return await this.#engine.transfer(source, options);
      } catch (error) {
        // Short waits are waited inside the engine.
        const waitMs = isServiceError(error) ? error.retryAfterMs : undefined;
        waits = counts.kept > kept ? 1 : waits + 1;
        if (waitMs === undefined || waits >= settings.tries || settings.signal.aborted) throw error;
        counts.retries += 1;
        view.said(wanted.name, `${(error as Error).message}; waiting ${seconds(waitMs)}`);
        await sleep(waitMs, undefined, { signal: settings.signal });
      }
    }
  }

  /** Beside the one that the engine chooses. */
  #digestsFor({ checksums }: Wanted): ChecksumAlgorithm[] {
    if (checksums.length === 0) return this.plan.lookUp ? this.plan.algorithms : [];
    return this.settings.everyDigest ? checksums.map(({ algorithm }) => algorithm) : [];
  }

  // ---- the final name

  async #publish(wanted: Wanted, result: TransferResult): Promise<Held> {
    const { out, overwrite, signal } = this.settings;
    const name = wanted.isNameSettled ? wanted.name : result.fileName;
    const checksum = this.#listedFor(wanted, name, result) ?? result.checksum;
    const { bytes, digests } = result;
    const path = join(out, name);
    const options = { replace: overwrite, signal };
    await publishFile(out, result, name, options, this.#pool).catch((error: unknown) => {
      if (!isServiceError(error) || error.code !== 'Conflict') throw error;
      throw new ServiceError('Conflict', `${path} is there, with other content`);
    });
    if (wanted.checksums.length > 0 || this.plan.files.length === 1)
      await this.#discard(wanted.key);
    else
      await this.#writeReceipt(wanted, { name, digests: [result.checksum], level: checksum.level });
    return { path, bytes, digests, checksum };
  }

  /** For a file whose name came with the answer: the lists are asked now. */
  #listedFor(wanted: Wanted, name: string, { digests }: TransferResult) {
    if (wanted.checksums.length > 0 || this.plan.lookUp === null) return null;
    const listed = this.plan.lookUp(name, wanted);
    const [first] = listed;
    if (!first) throw new ServiceError('NotFound', `No list has a digest for ${name}`);
    if (!contains(digests, listed))
      throw new ServiceError('ChecksumMismatch', 'The digest is not the listed one');
    return { ...first, level: 'provider' as const };
  }

  // ---- receipts: what was put in place without a digest to know it by

  async #readReceipt(wanted: Wanted): Promise<Receipt | null> {
    const text = await readFile(join(this.#folderOf(wanted), RECEIPT), 'utf8').catch(() => null);
    try {
      const { name, digests, level } = JSON.parse(text ?? '{}') as Partial<Receipt>;
      return typeof name === 'string' && Array.isArray(digests) && level
        ? { name, digests, level }
        : null;
    } catch {
      return null;
    }
  }

  async #writeReceipt(wanted: Wanted, receipt: Receipt): Promise<void> {
    await this.#discard(wanted.key);
    await mkdir(this.#folderOf(wanted), { recursive: true });
    await writeFile(join(this.#folderOf(wanted), RECEIPT), JSON.stringify(receipt));
    this.#receipts.push(wanted.key);
  }
}

const contains = (digests: Checksum[], wanted: Checksum[]): boolean =>
  wanted.every(({ algorithm, value }) =>
    digests.some((one) => one.algorithm === algorithm && one.value === value),
  );

const RECEIPT = 'in-place.json';

interface Receipt {
  name: string;
  digests: Checksum[];
  level: VerificationLevel;
}
