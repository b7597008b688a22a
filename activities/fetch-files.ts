/**
 * Fetching single files of one product: what is held and good stays, the rest comes by the best route that works, each file
 * verified and published by itself. A repeat is harmless at every point: a file is on record before it gets its final name,
 * and is looked at before it is believed; bytes that were under way lie in a journal of their own.
 */
import { toArtifact } from '../src/artifacts/artifact.js';
import type { ArtifactStore } from '../src/artifacts/artifact-store.js';
import {
  getHeldFiles,
  putHeldFiles,
  type HeldFile,
  type HeldFiles,
} from '../src/artifacts/held-files.js';
import { patternFault, selectPaths, type AssetSelection } from '../src/jobs/asset-patterns.js';
import { isServiceError, ServiceError } from '../src/jobs/error-codes.js';
import { fileKey } from '../src/jobs/ids.js';
import type { ChecksumAlgorithm, Product } from '../src/jobs/product.js';
import {
  openProduct,
  type OpenedProduct,
  type ProductFile,
} from '../src/providers/product-files.js';
import type { FileRoute, Provider } from '../src/providers/provider.js';
import { emptyMember, proveMember } from '../src/transfer/member.js';
import type { RemoteOptions } from '../src/transfer/remote-reader.js';
import type { Transfer, TransferResult } from '../src/transfer/transfer.js';
import type { DownloadResult } from '../workflows/download.workflow.js';
import type { FetchInput } from './fetch.activities.js';
import type { Figures, Noter } from './transfer-report.js';

/** What is told of a product's files passes through workflow history: so many, and paths of so many characters together. */
const MOST_FILES = 250;
const MOST_PATH_CHARACTERS = 40_000;
const NAMES_SHOWN = 6;
/** Files under way at once; their connections come out of the account's. */
const FILES_AT_ONCE = 4;

export interface FileFetchTools {
  store: ArtifactStore;
  provider: Pick<Provider, 'id' | 'fileRoutes'>;
  transfer: Transfer;
  /** How manifests and archives are read. */
  remote: Omit<RemoteOptions, 'signal'>;
  digests: readonly ChecksumAlgorithm[];
  signal: AbortSignal;
  report: (figures: Figures) => void;
  noter: Noter;
}

/**
 * Null when the product is one file by itself, and selected: then it is fetched as a whole.
 * @throws InvalidInput naming some files that there are when none is selected, or too many are
 */
export async function fetchFiles(
  input: FetchInput,
  product: Product,
  assets: AssetSelection,
  tools: FileFetchTools,
): Promise<DownloadResult | null> {
  return await new FileFetch(input, product, assets, tools).run();
}

class FileFetch {
  /** What is known of each selected file that was looked at: good, or missing. */
  readonly #good = new Map<string, HeldFile>();
  readonly #looked = new Set<string>();
  #held: HeldFiles;
  #damaged = false;
  #storing: Promise<void> = Promise.resolve();

  constructor(
    readonly input: FetchInput,
    readonly product: Product,
    readonly assets: AssetSelection,
    readonly tools: FileFetchTools,
  ) {
    const { provider, id, checksums } = product;
    this.#held = { provider, product_id: id, announced: checksums, paths: [], files: [] };
  }

  async run(): Promise<DownloadResult | null> {
    const { store, provider } = this.tools;
    const held = await getHeldFiles(store, this.product);
    if (held !== null) {
      this.#held = held;
      const wanted = this.#choose(held.paths);
      await this.#look(wanted);
      if (this.#missing(wanted).length === 0) return this.#result(wanted);
    }
    const routes = provider.fileRoutes(this.product);
    let failure: unknown = new ServiceError(
      'InvalidInput',
      `Single files cannot be had from ${provider.id}: leave assets out`,
    );
    for (const [at, route] of routes.entries()) {
      try {
        return await this.#fetchBy(route);
      } catch (error) {
        if (!mayGoElsewhere(error)) throw error;
        // What may pass by itself is tried again later, by the better route first.
        if (at === 0 || !mayPass(failure)) failure = error;
      }
    }
    throw failure;
  }

  async #fetchBy(route: FileRoute): Promise<DownloadResult | null> {
    const opened = await this.#open(route);
    if (opened === null) {
      this.#choose([this.product.name]);
      return null;
    }
    const wanted = this.#choose(opened.paths);
    await this.#look(wanted);
    const missing = await opened.locate(this.#missing(wanted));
    await this.#remember(opened);
    try {
      await this.#fetchAll(wanted, missing);
    } catch (error) {
      const now = isContradicted(error) ? await this.#lookAgain(route, missing) : null;
      if (now === null) throw error;
      await this.#fetchAll(wanted, now);
    }
    return this.#result(wanted);
  }

  #open(route: FileRoute): Promise<OpenedProduct | null> {
    const { signal, remote } = this.tools;
    return openProduct(route, { signal, ...remote });
  }

  /** Bytes contradict the manifest's digest: was it the manifest that came damaged? Null when it says the same again. */
  async #lookAgain(
    route: FileRoute,
    before: readonly ProductFile[],
  ): Promise<ProductFile[] | null> {
    const paths = this.#missing(before.map(({ path }) => path));
    const said = before.filter(({ path }) => paths.includes(path));
    const now = (await (await this.#open(route))?.locate(paths)) ?? [];
    const digests = (files: readonly ProductFile[]): string =>
      JSON.stringify(files.map(({ checksums }) => checksums));
    return digests(now) === digests(said) ? null : now;
  }

  #key({ path }: Pick<ProductFile, 'path'>): string {
    return fileKey(this.product.provider, this.product.id, path);
  }

  // ---- what is wanted, and what of it is held

  #choose(paths: readonly string[]): string[] {
    const wanted = selectPaths(this.assets, paths);
    if (wanted.length === 0) throw nothingSelected(this.product, this.assets, paths);
    const characters = wanted.reduce((sum, path) => sum + path.length, 0);
    if (wanted.length > MOST_FILES || characters > MOST_PATH_CHARACTERS)
      throw invalid(
        `${wanted.length} of the ${paths.length} files of ${this.product.name} are selected, more than can be fetched one by one (${MOST_FILES}): select fewer, or leave assets out for the whole product`,
      );
    return wanted;
  }

  #missing(wanted: readonly string[]): string[] {
    return wanted.filter((path) => !this.#good.has(path));
  }

  /** @throws Conflict where files are held and `if_exists` is "fail" */
  async #look(wanted: readonly string[]): Promise<void> {
    const { if_exists, run_id } = this.input;
    const { store, signal } = this.tools;
    for (const file of this.#held.files) {
      if (!wanted.includes(file.path) || this.#looked.has(file.path)) continue;
      this.#looked.add(file.path);
      const ours = file.stored_by === run_id;
      if (!ours && if_exists === 'replace') continue;
      const how = if_exists === 'skip' ? 'size' : 'digest';
      // Ours and not there: its worker died before it was published, or it could not be.
      if (!(await store.isIntact(file.artifact, how, signal))) this.#damaged ||= !ours;
      else if (!ours && if_exists === 'fail')
        throw new ServiceError(
          'Conflict',
          `${file.path} of ${this.product.name} is already held, and if_exists is "fail"`,
        );
      else {
        // The process that gave the file its name may have died before it put its journal away.
        if (ours) await store.discard(this.#key(file));
        this.#good.set(file.path, file);
      }
    }
  }

  async #remember(opened: OpenedProduct): Promise<void> {
    const known = new Set(opened.paths);
    const files = this.#held.files.filter(({ path }) => known.has(path));
    this.#held = { ...this.#held, paths: opened.paths, files };
    await putHeldFiles(this.tools.store, this.#held);
  }

  // ---- fetching

  async #fetchAll(wanted: readonly string[], missing: readonly ProductFile[]): Promise<void> {
    const sizes = new Map(missing.map(({ path, bytes }) => [path, bytes]));
    const sizeOf = (path: string): number | null =>
      this.#good.get(path)?.artifact.bytes ?? sizes.get(path) ?? null;
    const total = wanted.every((path) => sizeOf(path) !== null)
      ? wanted.reduce((sum, path) => sum + sizeOf(path)!, 0)
      : null;
    const moving = new Map<string, Figures>();
    const tell = (path: string, figures: Figures): void => {
      moving.set(path, figures);
      const all = [...moving].filter(([other]) => !this.#good.has(other)).map(([, one]) => one);
      const bytes = all.reduce((sum, one) => sum + one.bytes, this.#sum());
      this.tools.report({
        bytes,
        bytesTotal: total === null ? null : Math.max(total, bytes),
        bytesPerSecond: all.reduce((sum, one) => sum + one.bytesPerSecond, 0),
      });
    };
    await severalAtOnce(missing, this.tools.signal, (file, signal) =>
      this.#fetchOne(file, signal, (figures) => tell(file.path, figures)),
    );
  }

  async #fetchOne(
    file: ProductFile,
    signal: AbortSignal,
    tell: (figures: Figures) => void,
  ): Promise<void> {
    const { store, digests, noter } = this.tools;
    const directory = store.partialDirectory(this.#key(file));
    const { packing, checksums } = file;
    const options = { directory, packing, checksums, digests, signal };
    let verified: TransferResult;
    if (file.bytes === 0) verified = await emptyMember(file.path, options);
    else {
      const fetched = await this.tools.transfer(file.source, {
        directory,
        signal,
        digests: [...digests],
        onProgress: tell,
        onNote: (note) => noter.note(note, { file: file.path }),
      });
      // What is unpacked lies beside what it is unpacked from.
      if (packing?.method === 'deflated')
        await store.reserve(directory, fetched.bytes + packing.bytes);
      verified = await proveMember(fetched, options);
    }
    // One at a time: each record holds all before it.
    const before = this.#storing.catch(() => undefined);
    this.#storing = before.then(() => this.#store(file, verified, signal));
    await this.#storing;
  }

  async #store(file: ProductFile, verified: TransferResult, signal: AbortSignal): Promise<void> {
    const { store } = this.tools;
    const { provider, collection, id, name } = this.product;
    const artifact = toArtifact(verified, [provider, collection, id, name], file.storedAs);
    const held: HeldFile = {
      path: file.path,
      artifact,
      bytes_fetched: verified.bytesFetched,
      stored_at: new Date().toISOString(),
      stored_by: this.input.run_id,
    };
    const others = this.#held.files.filter(({ path }) => path !== file.path);
    this.#held = { ...this.#held, files: [...others, held] };
    await putHeldFiles(store, this.#held);
    // What stands there under this file's own name is damaged or older: it would have been kept otherwise.
    await store.publish(verified, artifact.path, this.#key(file), { replace: true, signal });
    this.#good.set(file.path, held);
  }

  // ---- the result

  #sum(): number {
    return [...this.#good.values()].reduce((sum, { artifact }) => sum + artifact.bytes, 0);
  }

  #result(wanted: readonly string[]): DownloadResult {
    const files = wanted.map((path) => this.#good.get(path)!);
    const ours = files.filter(({ stored_by }) => stored_by === this.input.run_id);
    return {
      outcome: ours.length === 0 ? 'reused' : 'completed',
      artifacts: files.map(({ artifact }) => artifact),
      bytes: files.reduce((sum, { artifact }) => sum + artifact.bytes, 0),
      bytes_fetched: ours.reduce((sum, { bytes_fetched }) => sum + bytes_fetched, 0),
      damaged_before: this.#damaged,
      selection: { files: wanted.length, of: this.#held.paths.length },
    };
  }
}

/** The first failure stops the others, and is thrown once they have let go. */
async function severalAtOnce<T>(
  items: readonly T[],
  signal: AbortSignal,
  work: (item: T, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const queue = [...items];
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const failures: unknown[] = [];
  const lane = async (): Promise<void> => {
    for (
      let item = queue.shift();
      item !== undefined && failures.length === 0;
      item = queue.shift()
    )
      await work(item, either).catch((error: unknown) => {
        failures.push(error);
        stop.abort();
      });
  };
  await Promise.all(Array.from({ length: FILES_AT_ONCE }, lane));
  if (failures.length > 0) throw failures[0];
}

function isContradicted(error: unknown): boolean {
  return isServiceError(error) && ['ChecksumMismatch', 'ChecksumDisputed'].includes(error.code);
}

/** Does this say something of the route rather than of the product, the account or the disk? */
function mayGoElsewhere(error: unknown): boolean {
  return (
    isServiceError(error) &&
    ['SourceRefused', 'SourceGone', 'SourceUnavailable', 'NotFound'].includes(error.code)
  );
}

function mayPass(error: unknown): boolean {
  return isServiceError(error) && error.kind !== 'permanent';
}

function invalid(message: string): ServiceError {
  const errors = [{ path: 'assets', message }];
  return new ServiceError('InvalidInput', message, { details: { errors } });
}

function nothingSelected(
  product: Product,
  assets: AssetSelection,
  paths: readonly string[],
): ServiceError {
  const asked = assets.include.length > 0 ? assets.include : ['everything'];
  const but = assets.exclude.length > 0 ? ` without ${shownList(assets.exclude)}` : '';
  const otherCase = selectedInAnyCase(assets, paths);
  const hint = otherCase.length > 0 ? '; upper and lower case differ' : '';
  const few = examples(assets, otherCase.length > 0 ? otherCase : paths);
  const left = paths.length - few.length;
  // As short as the patterns are: names for patterns of names.
  const isOfNames = assets.include.every((pattern) => !pattern.includes('/'));
  const names = isOfNames ? few.map((path) => path.split('/').at(-1)!) : few;
  return invalid(
    `No file of ${product.name} is selected by ${shownList(asked)}${but}${hint}. It has ${shownList(left > 0 ? [...names, `${left} more`] : names)}`,
  );
}

function selectedInAnyCase(assets: AssetSelection, paths: readonly string[]): string[] {
  const lower = (texts: readonly string[]): string[] => texts.map((text) => text.toLowerCase());
  const selection = { include: lower(assets.include), exclude: lower(assets.exclude) };
  // A set such as [Z-a] has no meaning without case.
  if ([...selection.include, ...selection.exclude].some((one) => patternFault(one) !== null))
    return [];
  const selected = new Set(selectPaths(selection, lower(paths)));
  return paths.filter((path) => selected.has(path.toLowerCase()));
}

/** A few files that show what patterns must look like: of the kinds that were asked for, if there are such. */
function examples(assets: AssetSelection, paths: readonly string[]): string[] {
  const endings = assets.include.map((pattern) =>
    /\.[^.*?[\]/]+$/.exec(pattern)?.[0].toLowerCase(),
  );
  const alike = paths.filter((path) =>
    endings.some((ending) => ending !== undefined && path.toLowerCase().endsWith(ending)),
  );
  const chosen = alike.length > 0 ? alike : paths;
  const step = Math.max(1, Math.floor(chosen.length / NAMES_SHOWN));
  return chosen.filter((_, at) => at % step === 0).slice(0, NAMES_SHOWN);
}

function shownList(texts: readonly string[]): string {
  const few = texts
    .slice(0, NAMES_SHOWN + 1)
    .map((text) => (text.length > 200 ? `${text.slice(0, 200)}…` : text));
  return texts.length > few.length ? `${few.join(', ')}, …` : few.join(', ');
}
