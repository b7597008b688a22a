/**
 * The sandbox's own account of what clients did, which tests judge by: every request, peaks, logins, bytes.
 * It holds no secret: tokens are cut from queries, and a token shows as the session it belongs to.
 */
export interface LedgerEntry {
  number: number;
  time: string;
  server: 'catalogue' | 'download';
  method: string;
  /** Without query. */
  path: string;
  /** Decoded query without `token`, or ''. */
  query: string;
  /** Product id, when the path names one. */
  product: string | null;
  /** The request's Range header. */
  range: string | null;
  /** Null until an answer began. */
  status: number | null;
  /** Body bytes handed to the operating system. */
  bytesSent: number;
  tokenSession: string | null;
  /** Number of the TCP connection. */
  connection: number;
  /** The answer was scripted. */
  faulted: boolean;
  /** ms from the request to the end of the answer; null while it runs. */
  durationMs: number | null;
}

export interface LedgerTotals {
  requests: number;
  /** Answers in which product bytes are being sent right now, and the most there ever were. */
  downloadsNow: number;
  downloadsPeak: number;
  /** Downloads refused because the account had no free connection. */
  downloadsRefused: number;
  logins: number;
  loginsRefused: number;
  refreshes: number;
  refreshesRefused: number;
  tokensIssued: number;
  sessionsPeak: number;
  bytesSent: number;
  /** Body bytes of downloads by product id. */
  bytesByProduct: Record<string, number>;
}

export interface LedgerView extends LedgerTotals {
  sessionsNow: number;
  entries: LedgerEntry[];
}

/** Entries kept; older ones are dropped, totals go on. */
const keptEntries = 200_000;

export class Ledger {
  private entries: LedgerEntry[] = [];
  private totals = emptyTotals(0);

  open(
    entry: Omit<LedgerEntry, 'number' | 'time' | 'bytesSent' | 'status' | 'durationMs'>,
  ): LedgerEntry {
    this.totals.requests += 1;
    const opened: LedgerEntry = {
      ...entry,
      number: this.totals.requests,
      time: new Date().toISOString(),
      status: null,
      bytesSent: 0,
      durationMs: null,
    };
    this.entries.push(opened);
    if (this.entries.length > keptEntries) this.entries.splice(0, keptEntries / 10);
    return opened;
  }

  sent(entry: LedgerEntry, bytes: number): void {
    entry.bytesSent += bytes;
    this.totals.bytesSent += bytes;
    if (entry.server === 'download' && entry.product !== null)
      this.totals.bytesByProduct[entry.product] =
        (this.totals.bytesByProduct[entry.product] ?? 0) + bytes;
  }

  downloadStarted(): void {
    this.totals.downloadsNow += 1;
    this.totals.downloadsPeak = Math.max(this.totals.downloadsPeak, this.totals.downloadsNow);
  }

  downloadEnded(): void {
    this.totals.downloadsNow -= 1;
  }

  count(
    what:
      | 'downloadsRefused'
      | 'logins'
      | 'loginsRefused'
      | 'refreshes'
      | 'refreshesRefused'
      | 'tokensIssued',
  ): void {
    this.totals[what] += 1;
  }

  sessions(open: number): void {
    this.totals.sessionsPeak = Math.max(this.totals.sessionsPeak, open);
  }

  view(sessionsNow: number): LedgerView {
    return structuredClone({ ...this.totals, sessionsNow, entries: this.entries });
  }

  /** Forgets everything but the downloads that run. */
  reset(): void {
    this.entries = [];
    this.totals = emptyTotals(this.totals.downloadsNow);
  }
}

function emptyTotals(downloadsNow: number): LedgerTotals {
  return {
    requests: 0,
    downloadsNow,
    downloadsPeak: downloadsNow,
    downloadsRefused: 0,
    logins: 0,
    loginsRefused: 0,
    refreshes: 0,
    refreshesRefused: 0,
    tokensIssued: 0,
    sessionsPeak: 0,
    bytesSent: 0,
    bytesByProduct: {},
  };
}
