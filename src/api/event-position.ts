/**
 * Where a reader of the event stream stands, as an id it can give back. `<epoch>-<seq>` after a stored event,
 * `<epoch>-<seq>-<job id or all>` after a snapshot: the scope keeps a snapshot of one job from standing for others.
 */
export interface Position {
  seq: number;
  /** A job's id or `all` for a snapshot, null after a stored event. */
  scope: string | null;
}

export const toEventId = (epoch: string, seq: number): string => `${epoch}-${seq}`;
export const toSnapshotId = (epoch: string, seq: number, jobId: string | undefined): string =>
  `${epoch}-${seq}-${jobId ?? 'all'}`;

const LONGEST_ID = 300;
const rest = /^(\d{1,15})(?:-(all|[0-9a-f-]{36}))?$/;

/** Null for anything that this epoch never gave out. */
export function fromEventId(id: string, epoch: string): Position | null {
  if (id.length > LONGEST_ID || !id.startsWith(`${epoch}-`)) return null;
  const match = rest.exec(id.slice(epoch.length + 1));
  return match ? { seq: Number(match[1]), scope: match[2] ?? null } : null;
}
