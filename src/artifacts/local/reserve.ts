/**
 * Room on the disk, promised before the first byte (F066). A promise is an empty file in the transfer's own partial
 * directory, named after its state and size, so that it outlives a crash, needs no room itself, and is gone when the
 * directory is. What is still owed is counted from the disk each time it matters: promised bytes less the blocks that the
 * directory holds already.
 *
 * Processes agree without a lock. Who wants room says so first (`asked`), then counts everybody, those who ask included:
 * of any two, the later has seen the earlier, so together they never get more than there is. Of those who stand in each
 * other's way the first by name goes on asking and the others step back.
 */
import { lstat, mkdir, readdir, rm, rmdir, statfs, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ServiceError } from '../../jobs/error-codes.js';
import { errnoOf, stored } from '../../transfer/index.js';

export interface ReservationOptions {
  /** Folder of the partial directories; its file system is the one that is counted. */
  partials: string;
  /** Bytes that stay free whatever is promised; null = 2 % of the file system, at most 1 GiB. */
  marginBytes: number | null;
  /** For tests. */
  disk?: (folder: string) => Promise<Disk>;
}

export interface Disk {
  freeBytes: number;
  totalBytes: number;
}

/** Gives the room back; harmless when it is gone already. */
export type Release = () => Promise<void>;

export interface Reservations {
  /**
   * Promises room for a file of `bytes`, less what the directory holds of it; a repeat replaces the promise. null = size
   * unknown: promises nothing, and asks only that the margin is free. The directory is made when missing.
   *
   * @throws ServiceError StorageFull with `details` {needed_bytes, free_bytes, reserved_bytes, margin_bytes}: nothing is promised
   */
  reserve: (directory: string, bytes: number | null) => Promise<Release>;
}

/** Asking takes milliseconds: a process that still asks after this long has died. */
const STALE_MS = 10_000;
/** Longest time spent on stepping back for others before saying that there is no room. */
const PATIENCE_MS = 2_000;
const PAUSE_MS = 8;
const LARGEST_MARGIN = 1024 ** 3;
const MARGIN_SHARE = 0.02;

type State = 'asked' | 'granted';

/** What one partial directory is promised and holds. */
interface Holding {
  name: string;
  state: State | null;
  promised: number;
  held: number;
  /** By the file system's clock; null = not asking. */
  askedMs: number | null;
}

export function createReservations(options: ReservationOptions): Reservations {
  const { partials, disk = diskOf } = options;
  let last: Promise<unknown> = Promise.resolve();

  /** One at a time within this process; `ask` settles it with the others. */
  function reserve(directory: string, bytes: number | null): Promise<Release> {
    const mine = last.then(() => ask(directory, bytes));
    last = mine.catch(() => undefined);
    return mine;
  }

  async function ask(directory: string, bytes: number | null): Promise<Release> {
    await stored(mkdir(directory, { recursive: true }));
    const name = basename(directory);
    const release = (): Promise<void> => unmark(directory);
    await release();
    const startMs = performance.now();
    for (;;) {
      const seen = await count(name, bytes);
      const isFull = seen.roomWithout < seen.needed && (bytes === null || seen.needed > 0);
      if (isFull || performance.now() - startMs > PATIENCE_MS) {
        await rmdir(directory).catch(() => undefined);
        throw full(seen);
      }
      if (bytes === null || seen.needed === 0) return release;
      if (seen.needed <= seen.room && (await askAloud(directory, name, bytes))) return release;
      await sleep(PAUSE_MS * (1 + Math.random()));
    }
  }

  /** False when others have to be waited for. Leaves no mark behind unless it is granted. */
  async function askAloud(directory: string, name: string, bytes: number): Promise<boolean> {
    const startMs = performance.now();
    try {
      await mark(directory, 'asked', bytes);
      for (;;) {
        const { needed, room, roomWithout, askers } = await count(name, bytes);
        const elapsedMs = performance.now() - startMs;
        // Whoever was stopped in the middle may no longer be counted by the others, and starts anew.
        if (needed <= room && elapsedMs < STALE_MS / 2) break;
        const isFirst = askers.every((other) => name < other);
        if (needed > roomWithout || !isFirst || elapsedMs > PATIENCE_MS) {
          await unmark(directory);
          return false;
        }
        await sleep(PAUSE_MS);
      }
      await mark(directory, 'granted', bytes);
      await rm(markOf(directory, 'asked', bytes), { force: true });
      return true;
    } catch (error) {
      await unmark(directory).catch(() => undefined);
      throw error;
    }
  }

  /** Everybody's promises first and the free space after: what is written meanwhile counts twice, never not at all. */
  async function count(name: string, bytes: number | null): Promise<Count> {
    const holdings = await look(partials);
    const { freeBytes, totalBytes } = await disk(partials);
    const margin = options.marginBytes ?? Math.min(LARGEST_MARGIN, totalBytes * MARGIN_SHARE);
    const mine = holdings.find((holding) => holding.name === name);
    const nowMs = mine?.askedMs ?? Date.now();
    const others = holdings.filter(({ name: other }) => other !== name);
    const asking = others.filter(
      ({ state, askedMs }) => state === 'asked' && nowMs - (askedMs ?? 0) < STALE_MS,
    );
    const granted = owed(others.filter(({ state }) => state === 'granted'));
    const roomWithout = freeBytes - Math.ceil(margin) - granted;
    return {
      needed: Math.max(0, (bytes ?? 0) - (mine?.held ?? 0)),
      room: roomWithout - owed(asking),
      roomWithout,
      askers: asking.map(({ name: other }) => other),
      details: { free_bytes: freeBytes, reserved_bytes: granted, margin_bytes: Math.ceil(margin) },
    };
  }

  return { reserve };
}

interface Count {
  /** Bytes that this transfer still has to write. */
  needed: number;
  /** What is left for it when everybody who asks is given what they ask for, */
  room: number;
  /** and when nobody else is. */
  roomWithout: number;
  askers: string[];
  details: { free_bytes: number; reserved_bytes: number; margin_bytes: number };
}

const owed = (holdings: Holding[]): number =>
  holdings.reduce((sum, { promised, held }) => sum + Math.max(0, promised - held), 0);

function full({ needed, details }: Count): ServiceError {
  const { free_bytes, reserved_bytes, margin_bytes } = details;
  return new ServiceError(
    'StorageFull',
    `No room for ${shown(needed)} more: ${shown(free_bytes)} are free, of which ${shown(reserved_bytes)} are promised to ` +
      `transfers under way and ${shown(margin_bytes)} stay free. Goes on when transfers end or files are removed`,
    { details: { needed_bytes: needed, ...details } },
  );
}

const shown = (bytes: number): string =>
  bytes < 999.5e6 ? `${Math.ceil(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;

// ---- marks

const markPattern = /^room\.(asked|granted)\.(\d{1,15})$/;
const markOf = (directory: string, state: State, bytes: number): string =>
  join(directory, `room.${state}.${bytes}`);

async function mark(directory: string, state: State, bytes: number): Promise<void> {
  await stored(writeFile(markOf(directory, state, bytes), ''));
}

async function unmark(directory: string): Promise<void> {
  for (const name of await namesIn(directory))
    if (markPattern.test(name)) await stored(rm(join(directory, name), { force: true }));
}

async function look(partials: string): Promise<Holding[]> {
  const names = await namesIn(partials);
  return await Promise.all(names.map((name) => holdingOf(join(partials, name), name)));
}

async function holdingOf(directory: string, name: string): Promise<Holding> {
  const holding: Holding = { name, state: null, promised: 0, held: 0, askedMs: null };
  for (const file of await namesIn(directory)) {
    const match = markPattern.exec(file);
    if (match) noteMark(holding, match[1] as State, Number(match[2]));
    if (match?.[1] === 'granted') continue;
    const facts = await lstat(join(directory, file)).catch(() => null);
    // Gone since the folder was read: withdrawn, or granted just now.
    if (match) holding.askedMs = facts?.mtimeMs ?? Infinity;
    // Copies of one file lie beside each other at times; what is disputed is of no use to this transfer.
    else if (facts?.isFile() && !file.startsWith('disputed-'))
      holding.held = Math.max(holding.held, heldBy(file, facts));
  }
  return holding;
}

/** The largest promise counts; between asking and having, both marks are there. */
function noteMark(holding: Holding, state: State, promised: number): void {
  const isSame = promised === holding.promised && state === 'granted';
  if (holding.state !== null && promised <= holding.promised && !isSame) return;
  holding.state = state;
  holding.promised = promised;
}

/** Blocks, not length: a preallocated file is long and empty. What is verified needs nothing more, compressed or not. */
const heldBy = (file: string, { size, blocks }: { size: number; blocks: number }): number =>
  file === 'verified' ? size : blocks * 512;

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) return [];
    return await stored(Promise.reject(error as Error));
  }
}

async function diskOf(folder: string): Promise<Disk> {
  const { bavail, blocks, bsize } = await stored(statfs(folder));
  return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
}
