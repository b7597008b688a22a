/** What a transfer tells while it runs: progress straight to the mirror, notes to the job's workflow, which numbers them. */
import { Context } from '@temporalio/activity';
import type { Mirror } from '../src/mirror/mirror.js';
import type { TransferNote } from '../src/transfer/transfer.js';
import type { TransferNoteMessage } from '../workflows/messages.js';

const PROGRESS_MS = 500;
/** Notes of one try that reach the job's story: a provider that cuts every second must not flood the history. */
const NOTES_A_TRY = 10;

export interface Subject {
  job_id: string;
  product_id: string;
}

export interface Figures {
  bytes: number;
  bytesTotal: number | null;
  bytesPerSecond: number;
}

/** At most twice a second, one report at a time; a lost report is no loss. */
export function createProgressReporter(
  mirror: Pick<Mirror, 'reportProgress'>,
  { job_id, product_id }: Subject,
): (figures: Figures) => void {
  let busy = false;
  let lastMs = 0;
  return ({ bytes, bytesTotal, bytesPerSecond }) => {
    const nowMs = Date.now();
    if (busy || nowMs - lastMs < PROGRESS_MS) return;
    busy = true;
    lastMs = nowMs;
    void mirror
      .reportProgress(job_id, {
        product_id,
        bytes,
        bytes_total: bytesTotal,
        speed_bytes_per_second: bytesPerSecond,
        at: new Date(nowMs).toISOString(),
      })
      .catch(() => undefined)
      .finally(() => (busy = false));
  };
}

export interface Noter {
  /** `facts` are added to what the note says. */
  note(note: TransferNote, facts?: Record<string, unknown>): void;
  settled(): Promise<void>;
}

export function createNoter({ job_id, product_id }: Subject, name: string): Noter {
  const { client, log } = Context.current();
  const sending: Promise<void>[] = [];
  return {
    note(note, facts = {}) {
      if (sending.length >= NOTES_A_TRY) return;
      const { type, ...said } = note;
      const message: TransferNoteMessage = {
        product_id,
        type: type === 'retried' ? 'transfer.retried' : 'transfer.resumed',
        data: { product_id, name, ...facts, ...said },
        waiting: null,
      };
      sending.push(
        client.workflow
          .getHandle(job_id)
          .signal('transferNote', message)
          .catch((error: unknown) => {
            log.debug('note not delivered', { error: String(error) });
          }),
      );
    },
    settled: async () => {
      await Promise.all(sending);
    },
  };
}
