/**
 * The file operations of a transfer, watched: which bytes were written and which of them flushed when, what the journal
 * promised, which handles are open, which paths were touched. On request it says what a disk would hold after a power cut:
 * what was flushed is there, what was not is there in part, torn, or not at all.
 */
import { constants, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { FileHandleLike, Files } from '../../src/transfer/files.js';

export interface WatchedFiles {
  files: Files;
  /** Promises of the journal that went beyond what was flushed, in words. */
  breaches: string[];
  /** Paths opened, renamed, copied or removed. */
  touched: ReadonlySet<string>;
  /** Handles that were opened and not closed, by path. */
  open: () => string[];
  /** The directory as a power cut would leave it now: content by name. `random` yields numbers in [0, 1). */
  afterPowerCut: (directory: string, random: () => number) => Map<string, Buffer>;
}

interface Write {
  position: number;
  data: Buffer;
}

/** One file, whatever its name is. */
class Inode {
  #memory = Buffer.alloc(0);
  #length = 0;
  pending: Write[] = [];
  readonly flushed = new Intervals();

  write(position: number, data: Buffer): void {
    this.pending.push({ position, data: Buffer.from(data) });
    this.flushed.remove(position, position + data.length);
  }

  truncate(length: number): void {
    this.pending = this.pending.map(({ position, data }) => ({
      position,
      data: data.subarray(0, Math.max(0, length - position)),
    }));
    this.#length = Math.min(this.#length, length);
    this.flushed.remove(length, Infinity);
  }

  /** What had been written when the flush began is durable once it ends. */
  flush(): () => void {
    const covered = this.pending.length;
    return () => {
      for (const write of this.pending.splice(0, covered)) this.#apply(write);
      for (const { position, data } of this.pending)
        this.flushed.remove(position, position + data.length);
    };
  }

  #apply({ position, data }: Write): void {
    const end = position + data.length;
    if (end > this.#memory.length) {
      const grown = Buffer.alloc(Math.max(end, this.#memory.length * 2));
      this.#memory.copy(grown, 0, 0, this.#length);
      this.#memory = grown;
    }
    if (position > this.#length) this.#memory.fill(0, this.#length, position);
    this.#length = Math.max(this.#length, end);
    data.copy(this.#memory, position);
    this.flushed.add(position, end);
  }

  /** Each page of an unflushed write is there or is not; of the last one perhaps a part. */
  afterPowerCut(random: () => number): Buffer {
    const PAGE = 4096;
    let image = Buffer.from(this.#memory.subarray(0, this.#length));
    for (const { position, data } of this.pending)
      for (let at = 0; at < data.length; at += PAGE) {
        if (random() < 0.5) continue;
        const page = data.subarray(at, at + PAGE);
        const kept = random() < 0.1 ? page.subarray(0, Math.floor(random() * page.length)) : page;
        const end = position + at + kept.length;
        if (end > image.length) image = Buffer.concat([image, Buffer.alloc(end - image.length)]);
        kept.copy(image, position + at);
      }
    return image;
  }
}

/** Half-open ranges of bytes. */
class Intervals {
  #ranges: [number, number][] = [];

  add(start: number, end: number): void {
    if (end <= start) return;
    const apart = this.#ranges.filter(([a, b]) => b < start || a > end);
    const touching = this.#ranges.filter(([a, b]) => b >= start && a <= end);
    const from = Math.min(start, ...touching.map(([a]) => a));
    const to = Math.max(end, ...touching.map(([, b]) => b));
    this.#ranges = [...apart, [from, to]];
  }

  remove(start: number, end: number): void {
    this.#ranges = this.#ranges.flatMap(([a, b]): [number, number][] =>
      b <= start || a >= end
        ? [[a, b]]
        : ([
            [a, start],
            [end, b],
          ].filter(([from = 0, to = 0]) => to > from) as [number, number][]),
    );
  }

  covers(start: number, end: number): boolean {
    return this.#ranges.some(([a, b]) => a <= start && b >= end);
  }
}

type NameChange =
  | { kind: 'link'; path: string; inode: Inode }
  | { kind: 'rename'; from: string; to: string; inode: Inode }
  | { kind: 'remove'; path: string };

export function watchFiles(inner: Files): WatchedFiles {
  const names = new Map<string, Inode>();
  const durableNames = new Map<string, Inode>();
  const pendingNames: NameChange[] = [];
  const touched = new Set<string>();
  const handles = new Map<FileHandleLike, string>();
  const breaches: string[] = [];
  /** What the journals of a directory may speak of: there may be several owners at a time. */
  const parts = new Map<string, Set<Inode>>();

  const inodeAt = (path: string): Inode => {
    const known = names.get(path);
    if (known) return known;
    const inode = new Inode();
    names.set(path, inode);
    const before = contentOf(path);
    if (before) {
      // what the test put there, or an earlier process left
      inode.write(0, before);
      inode.flush()();
      durableNames.set(path, inode);
    } else pendingNames.push({ kind: 'link', path, inode });
    return inode;
  };

  const checkPromises = (directory: string, data: Uint8Array) => {
    for (const { offset, length } of promisesIn(Buffer.from(data).toString('utf8')))
      if (
        ![...(parts.get(directory) ?? [])].some(({ flushed }) =>
          flushed.covers(offset, offset + length),
        )
      )
        breaches.push(`the journal promised [${offset}, ${offset + length}) before it was flushed`);
  };

  const files: Files = {
    ...inner,
    async open(path, flags) {
      touched.add(path);
      const handle = await inner.open(path, flags);
      if (flags & constants.O_EXCL) names.delete(path);
      const inode = inodeAt(path);
      if (/\/(part\.[^/]*|verified)$/.test(path)) {
        const inodes = parts.get(dirname(path)) ?? new Set();
        parts.set(dirname(path), inodes.add(inode));
      }
      const isJournal = /\/journal[^/]*$/.test(path);
      const watched: FileHandleLike = new Proxy(handle, {
        get(target, name) {
          const value: unknown = Reflect.get(target, name, target);
          if (typeof value !== 'function') return value;
          const call = (...args: unknown[]) =>
            (value as (...all: unknown[]) => Promise<unknown>).apply(target, args);
          if (name === 'write')
            return async (data: Uint8Array, offset: number, length: number, position: number) => {
              const slice = Buffer.from(data.subarray(offset, offset + length));
              if (isJournal) checkPromises(dirname(path), slice);
              const result = (await call(data, offset, length, position)) as {
                bytesWritten: number;
              };
              inode.write(position, slice.subarray(0, result.bytesWritten));
              return result;
            };
          if (name === 'datasync' || name === 'sync')
            return async () => {
              const done = inode.flush();
              await call();
              done();
            };
          if (name === 'truncate')
            return async (length: number) => {
              await call(length);
              inode.truncate(length);
            };
          if (name === 'close')
            return async () => {
              handles.delete(watched);
              await call();
            };
          return call;
        },
      });
      handles.set(watched, path);
      return watched;
    },
    async rename(from, to) {
      touched.add(from).add(to);
      await inner.rename(from, to);
      const inode = inodeAt(from);
      names.delete(from);
      names.set(to, inode);
      pendingNames.push({ kind: 'rename', from, to, inode });
    },
    async remove(path) {
      touched.add(path);
      await inner.remove(path);
      names.delete(path);
      pendingNames.push({ kind: 'remove', path });
    },
    async syncDirectory(path) {
      const covered = pendingNames.length;
      await inner.syncDirectory(path);
      for (const change of pendingNames.splice(0, covered)) applyName(durableNames, change);
    },
  };

  return {
    files,
    breaches,
    touched,
    open: () => [...handles.values()],
    afterPowerCut(directory, random) {
      const there = new Map(durableNames);
      // a file system that keeps its order: some of the changes of names, from the first on
      for (const change of pendingNames.slice(0, Math.floor(random() * (pendingNames.length + 1))))
        applyName(there, change);
      const image = new Map<string, Buffer>();
      for (const [path, inode] of there)
        if (dirname(path) === directory)
          image.set(path.slice(directory.length + 1), inode.afterPowerCut(random));
      return image;
    },
  };
}

function applyName(names: Map<string, Inode>, change: NameChange): void {
  if (change.kind === 'rename') names.delete(change.from);
  if (change.kind === 'remove') names.delete(change.path);
  else names.set(change.kind === 'rename' ? change.to : change.path, change.inode);
}

function contentOf(path: string): Buffer | null {
  try {
    return readFileSync(path);
  } catch {
    return null;
  }
}

/** What lines of a journal say is durable. Blocks are not promises: they count after a crash only with their CRC-32. */
export function promisesIn(lines: string): { offset: number; length: number }[] {
  return lines.split('\n').flatMap((line) => {
    const flushed = /\{"flushed":(\[.*\])\}$/.exec(line)?.[1] ?? '[]';
    const spans = JSON.parse(flushed) as { start: number; end: number }[];
    return spans.map(({ start, end }) => ({ offset: start, length: end - start }));
  });
}
