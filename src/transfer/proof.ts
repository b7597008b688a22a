/**
 * The proof of a whole file: its digests against those that were announced, else its structure, and what follows where they
 * do not agree. A copy that is not good enough is forgotten as far as it is known to be wrong, to be fetched again; how often,
 * and when two equal copies speak against the digest, is decided here.
 */
import { ServiceError } from '../jobs/error-codes.js';
import type { Checksum } from '../jobs/product.js';
import type { ByteRange } from './archive/reader.js';
import { Retry, stored, tooMuch } from './errors.js';
import type { Fetcher } from './fetcher.js';
import { dispositionName, sanitiseFileName } from './file-name.js';
import type { FileHandleLike } from './files.js';
import { MAX_REFETCHES } from './limits.js';
import { mediaTypeOf } from './media-type.js';
import { areEqualCopies, toMismatch } from './mismatch.js';
import type { SourceFacts } from './records.js';
import type { TransferResult, TransferSource } from './transfer.js';
import { judge, type Verdict } from './verify.js';
import type { Workspace } from './workspace.js';

type Facts = Omit<TransferResult, 'path' | 'checksum'>;

const MOST_REFUSALS = 1;

export class Proof {
  #mismatches = 0;
  /** Copies that broke what a file of their kind must be. */
  #refusals = 0;
  #askedForMore = false;
  /** Length of the copy that was found too short last. */
  #incompleteAt: number | null = null;

  constructor(
    readonly source: TransferSource,
    /** Announced digests that are computed. */
    readonly announced: Checksum[],
    readonly fetcher: Fetcher,
    readonly signal: AbortSignal,
  ) {}

  get hasDigests(): boolean {
    return this.announced.length > 0;
  }

  /** Of all that is there. When it rejects with a Retry, what is to be fetched again is forgotten. */
  async of(
    work: Workspace,
    digests: Checksum[],
  ): Promise<{ checksum: TransferResult['checksum']; facts: Facts }> {
    const { verdict, facts } = await this.judge(work.part.file, work.have, digests, work.facts);
    if (verdict.kind !== 'verified') return await this.#reject(work, verdict, facts);
    return { checksum: verdict.checksum, facts };
  }

  /** @param known what the server has said of the file */
  async judge(
    file: FileHandleLike,
    bytes: number,
    digests: Checksum[],
    known: SourceFacts | null,
  ): Promise<{ verdict: Verdict; facts: Facts }> {
    const mediaType = mediaTypeOf(await firstBytes(file));
    const { expectedBytes, fallbackName, slice } = this.source;
    const verdict = await judge({
      file,
      bytes,
      mediaType,
      digests,
      announced: this.announced,
      expectedBytes,
      isTotalKnown: slice !== undefined || (known?.total ?? null) !== null,
      name: fallbackName,
      signal: this.signal,
    });
    const facts = {
      bytes,
      digests,
      mediaType,
      fileName: sanitiseFileName(dispositionName(known?.disposition) ?? fallbackName, fallbackName),
      bytesFetched: this.fetcher.fetchedBytes,
      resumedFrom: this.fetcher.resumedFrom ?? bytes,
    };
    return { verdict, facts };
  }

  /** A whole copy that is not good enough: always throws. */
  async #reject(
    work: Workspace,
    verdict: Exclude<Verdict, { kind: 'verified' }>,
    { bytes, digests }: { bytes: number; digests: Checksum[] },
  ): Promise<never> {
    this.fetcher.leave();
    if (this.fetcher.trust.wasOverrun) {
      this.fetcher.trust.wasOverrun = false;
      await work.forgetAll();
      return this.#fetchAgain(tooMuch().error);
    }
    const mayBeShort =
      verdict.kind === 'incomplete' || (verdict.kind === 'mismatch' && this.#wasShort(bytes));
    if (mayBeShort) {
      if (verdict.kind === 'incomplete' && this.#incompleteAt === bytes) {
        if (this.hasDigests) return await this.#giveUpOn(work, verdict.error);
        if (!this.fetcher.trust.servesRanges) throw verdict.error;
      }
      this.#incompleteAt = bytes;
      await this.#askForMore(work);
      throw new Retry(verdict.error, verdict.kind === 'mismatch' ? { waitMs: 0 } : {});
    }
    if (verdict.kind === 'mismatch') return await this.#onMismatch(work, verdict, bytes, digests);
    const isFinal = verdict.kind === 'refused' && verdict.isProven === true;
    if (isFinal || ++this.#refusals > MOST_REFUSALS) throw verdict.error;
    const damaged = verdict.kind === 'refused' ? verdict.damaged : [];
    await this.#forgetRanges(work, damaged);
    // Whoever has said how long it is may have been wrong, and parts need not say it again.
    if (damaged.length === 0 && work.facts) await work.learn({ ...work.facts, total: null });
    throw new Retry(verdict.error);
  }

  /** Nobody but the server has said that this is all, and it may have said so falsely. */
  #wasShort(bytes: number): boolean {
    const { expectedBytes, slice } = this.source;
    if (this.#askedForMore || slice || expectedBytes === bytes) return false;
    this.#askedForMore = true;
    return this.fetcher.trust.servesRanges;
  }

  /** Goes on behind what is there, as if nobody had said how long the file is. */
  async #askForMore(work: Workspace): Promise<void> {
    if (work.facts) await work.learn({ ...work.facts, total: null });
    work.hasEnded = false;
    work.ledger.doubtAll();
    await work.followAnew();
  }

  /** More was asked for, and it is said again that this is all: then something else is wrong with it. */
  async #giveUpOn(work: Workspace, error: ServiceError): Promise<never> {
    this.#incompleteAt = null;
    await work.forgetAll();
    return this.#fetchAgain(error);
  }

  #fetchAgain(error: ServiceError): never {
    if (++this.#mismatches > MAX_REFETCHES) throw error;
    throw new Retry(error);
  }

  /** Two equal copies contradict the announced digest: then it is not for us to say which is wrong. */
  async #onMismatch(
    work: Workspace,
    { error, damaged, whenRepeated }: Extract<Verdict, { kind: 'mismatch' }>,
    bytes: number,
    digests: Checksum[],
  ): Promise<never> {
    const { mismatches } = work.journal.state;
    const found = toMismatch(bytes, digests);
    if (mismatches.some((earlier) => areEqualCopies(earlier, found))) {
      if (whenRepeated) throw whenRepeated;
      const name = `disputed-${mismatches.length}`;
      await work.rename(name);
      const details = { ...error.details, kept_as: name };
      throw new ServiceError('ChecksumDisputed', error.message, { details });
    }
    await work.journal.addMismatch(found);
    await this.#forgetRanges(work, damaged);
    return this.#fetchAgain(error);
  }

  /** What is known to be damaged is fetched again; where nothing is known, everything is. */
  async #forgetRanges(work: Workspace, damaged: readonly ByteRange[]): Promise<void> {
    if (damaged.length === 0 || !this.fetcher.trust.servesRanges) return await work.forgetAll();
    for (const { start, bytes } of damaged) await work.forget(start, start + bytes);
  }
}

async function firstBytes(file: FileHandleLike): Promise<Buffer> {
  const memory = Buffer.alloc(512);
  const { bytesRead } = await stored(file.read(memory, 0, memory.length, 0));
  return memory.subarray(0, bytesRead);
}
