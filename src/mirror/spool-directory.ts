/**
 * Batches on disk, one file each, named so that sorting gives the order of jobs and versions. A file is there entirely
 * or not at all (temporary name, fsync, rename, fsync of the directory); its name carries the digest of its content, so
 * the same batch twice is one file and a damaged one is known. Bounded in number and bytes.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { EventBatch } from '../jobs/event.js';
import { ServiceError } from '../jobs/error-codes.js';

export interface SpoolLimits {
  files: number;
  sizeBytes: number;
}
export const spoolLimits: SpoolLimits = { files: 100_000, sizeBytes: 1024 ** 3 };

/** Left by a process that died while writing. */
const STALE_TEMPORARY_MS = 10 * 60_000;
const VERSION_DIGITS = 12;
const REJECTED = 'rejected';

export interface SpoolEntry {
  name: string;
}

export interface SpoolDirectory {
  /** Reads what an earlier process left. Harmless to repeat. */
  open(): Promise<void>;
  /** Durable once resolved. StoreUnavailable when full or not writable. */
  add(batch: EventBatch): Promise<void>;
  holds(jobId: string): boolean;
  /** One list a job, in order of version. */
  entries(): SpoolEntry[][];
  /** The batch; null if another process took it. InvalidInput if it is damaged. */
  read(entry: SpoolEntry): Promise<EventBatch | null>;
  remove(entry: SpoolEntry): Promise<void>;
  /** Puts it aside, for a person to look at. */
  reject(entry: SpoolEntry): Promise<void>;
  readonly size: number;
}

export function createSpoolDirectory(directory: string, limits: SpoolLimits): SpoolDirectory {
  const sizes = new Map<string, number>();
  const perJob = new Map<string, number>();
  let totalBytes = 0;
  let opened: Promise<void> | null = null;

  function note(name: string, sizeBytes: number): void {
    if (sizes.has(name)) return;
    sizes.set(name, sizeBytes);
    totalBytes += sizeBytes;
    const jobId = jobIdOf(name);
    perJob.set(jobId, (perJob.get(jobId) ?? 0) + 1);
  }

  function forget(name: string): void {
    totalBytes -= sizes.get(name) ?? 0;
    if (!sizes.delete(name)) return;
    const jobId = jobIdOf(name);
    const left = perJob.get(jobId)! - 1;
    if (left === 0) perJob.delete(jobId);
    else perJob.set(jobId, left);
  }

  async function load(): Promise<void> {
    await mkdir(directory, { recursive: true });
    for (const name of await readdir(directory)) {
      const found = await stat(join(directory, name)).catch(() => null);
      if (!found?.isFile()) continue;
      if (name.endsWith('.json')) note(name, found.size);
      else if (Date.now() - found.mtimeMs > STALE_TEMPORARY_MS)
        await rm(join(directory, name), { force: true });
    }
  }

  return {
    open() {
      opened ??= load().catch((error: unknown) => {
        opened = null;
        throw unavailable('The spool can not be read', error);
      });
      return opened;
    },
    async add(batch) {
      const content = Buffer.from(JSON.stringify(batch));
      const name = nameOf(batch, content);
      if (sizes.has(name)) return;
      if (sizes.size >= limits.files || totalBytes + content.length > limits.sizeBytes)
        throw new ServiceError(
          'StoreUnavailable',
          `The spool is full: ${sizes.size} batches, ${totalBytes} bytes`,
        );
      await writeDurably(directory, name, content).catch((error: unknown) => {
        throw unavailable('The spool can not be written', error);
      });
      // Only now: whoever hands batches over must find what is listed.
      note(name, content.length);
    },
    holds: (jobId) => perJob.has(encodeURIComponent(jobId)),
    entries() {
      const byJob = new Map<string, SpoolEntry[]>();
      for (const name of [...sizes.keys()].sort()) {
        const entries = byJob.get(jobIdOf(name)) ?? [];
        entries.push({ name });
        byJob.set(jobIdOf(name), entries);
      }
      return [...byJob.values()];
    },
    async read({ name }) {
      const content = await readFile(join(directory, name)).catch((error: unknown) => {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
        throw unavailable('The spool can not be read', error);
      });
      if (content === null) return null;
      if (!name.endsWith(`-${digestOf(content)}.json`))
        throw new ServiceError('InvalidInput', `Spooled batch ${name} is damaged`);
      return JSON.parse(content.toString('utf8')) as EventBatch;
    },
    async remove({ name }) {
      await rm(join(directory, name), { force: true });
      forget(name);
    },
    async reject({ name }) {
      await mkdir(join(directory, REJECTED), { recursive: true });
      await rename(join(directory, name), join(directory, REJECTED, name)).catch(() => {});
      forget(name);
    },
    get size() {
      return sizes.size;
    },
  };
}

function nameOf({ header, snapshot }: EventBatch, content: Buffer): string {
  const version = String(snapshot.version).padStart(VERSION_DIGITS, '0');
  return `${encodeURIComponent(header.job_id)}-${version}-${digestOf(content)}.json`;
}

function jobIdOf(name: string): string {
  return name.replace(/-\d+-[0-9a-f]+\.json$/, '');
}

const digestOf = (content: Buffer): string =>
  createHash('sha256').update(content).digest('hex').slice(0, 16);

async function writeDurably(directory: string, name: string, content: Buffer): Promise<void> {
  const temporary = join(directory, `${randomUUID()}.tmp`);
  try {
    const file = await open(temporary, 'wx');
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, join(directory, name));
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  const folder = await open(directory, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function unavailable(message: string, cause: unknown): ServiceError {
  const code = (cause as NodeJS.ErrnoException).code ?? 'unknown';
  return new ServiceError('StoreUnavailable', `${message}: ${code}`, { cause });
}
