/** How the body of an answer ended, and what that makes of the bytes that it brought and of those around them. */
import { retry, tooMuch, type Retry } from './errors.js';
import type { Claim } from './ledger.js';
import { LEAST_PART_BYTES, type Trust } from './trust.js';
import type { Workspace } from './workspace.js';

export interface Ending {
  /** Where its own range began and, exclusive, was to end; Infinity where nothing said it. */
  start: number;
  end: number;
  /** Bytes that came, also those that repeated themselves. */
  bytes: number;
  /** Those that were not in the file yet. */
  newBytes: number;
  /** Why it was over before it had brought all of its range; null = it has. */
  cut: Error | null;
  /** More came than its range holds. */
  isOverrun: boolean;
  /** Enough had come: the cut is ours. */
  isStopped: boolean;
  /** Its range went as far as it was asked to. */
  isAll: boolean;
  /** It said itself how long the file is. */
  saysTotal: boolean;
}

/** What was wrong with it is thrown, once the ledger and the trust have taken their lesson. */
export async function conclude(
  ending: Ending,
  { work, claim, trust }: { work: Workspace; claim: Claim; trust: Trust },
): Promise<void> {
  const { start, end, bytes, newBytes, cut, isOverrun, isStopped, isAll, saysTotal } = ending;
  const { ledger, facts } = work;
  if (isOverrun && !trust.options.hasDigests) {
    // At once: whoever goes on after an end that comes too early must find nothing of it to believe.
    ledger.doubt(await work.forget(start, Math.min(end, Number.MAX_SAFE_INTEGER)));
    throw tooMuch();
  }
  const wantedBytes = Math.max(0, start + bytes - claim.proof);
  trust.ended({ bytes, wantedBytes, newBytes, isCut: cut !== null, isAll }, facts);
  const isRepeated = !trust.isUnpinned(facts) || (end === claim.proof && !saysTotal);
  if (cut === null && end <= claim.proof && isRepeated) {
    // There may be no more than this: what is asked for behind it, and nothing else, tells.
    ledger.settle(claim);
    throw retry('SourceUnavailable', 'The answer brought nothing that is not here', { waitMs: 0 });
  }
  if (cut !== null && !isStopped) {
    // What was on disk before is not proven yet where the cut came early; where it was replaced, its end lies elsewhere now.
    ledger.doubt(claim.proof);
    ledger.doubt(start + bytes);
    throw cut;
  }
  if (Number.isFinite(end) && end > 0 && newBytes < (isAll ? 1 : LEAST_PART_BYTES)) {
    trust.broughtLittle();
    throw retry('SourceUnavailable', 'The answer brought next to nothing');
  }
}

export function endedEarly(): Retry {
  return retry('SourceUnavailable', 'The answer ended before the part that it announced');
}
