/**
 * One owner at a time for a directory. Whoever comes last writes its own token and owns it; the one before notices before
 * its next write and stops. An earlier owner that may still be alive (paused, or on another machine) can never spoil the
 * newcomer's file: the newcomer then works on a copy under a name of its own, to which nobody else holds a handle.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { ServiceError } from '../jobs/error-codes.js';
import { stored } from './errors.js';
import { replaceFile, type FileFacts, type FileHandleLike, type Files } from './files.js';
import { isOwnerRecord, type OwnerRecord } from './records.js';

export class Owner {
  /** The record on disk. Held open, so that nobody else's can get its inode. */
  #file: FileHandleLike | null = null;
  #facts: FileFacts | null = null;
  #isFlushed = false;

  private constructor(
    readonly files: Files,
    readonly path: string,
    private record: OwnerRecord,
  ) {}

  /** Takes the directory over from whoever has it. @param isNew nobody can have had it */
  static async take(files: Files, directory: string, isNew = false): Promise<Owner> {
    const path = join(directory, 'owner');
    const before = isNew ? null : parseOwner(await stored(files.read(path)));
    const token = files.token();
    const owner = new Owner(files, path, {
      token,
      part: before?.part ?? `part.${token}`,
      shared: before !== null && (before.shared || !(before.released || isDead(before))),
      released: false,
      ...self(),
    });
    try {
      // A record that was promised stands there: no power cut may leave an empty one in its place.
      await owner.#write(before !== null);
      return owner;
    } catch (error) {
      await owner.#close();
      throw error;
    }
  }

  get part(): string {
    return this.record.part;
  }

  get shared(): boolean {
    return this.record.shared;
  }

  /** From now on the partial file is one that nobody else has opened. */
  async usePart(name: string): Promise<void> {
    await this.assertOwned();
    this.record = { ...this.record, part: name, shared: false };
    await this.#write();
  }

  /** Throws Interrupted once the directory is somebody else's, or gone. */
  async assertOwned(): Promise<void> {
    if (!(await this.#isOurs()))
      throw new ServiceError('Interrupted', 'Another transfer of this asset has taken over');
  }

  /** Who owns which partial file outlives a power cut from now on, once its name does. */
  async flush(): Promise<void> {
    if (this.#isFlushed || !this.#file) return;
    await stored(this.#file.datasync());
    this.#isFlushed = true;
  }

  /**
   * Gives the directory back; removes our partial file where somebody else goes on with a copy of it.
   * @param isDone there is no partial file any longer that an owner could speak of
   */
  async release(isDone = false): Promise<void> {
    try {
      if (await this.#isOurs()) {
        this.record = { ...this.record, released: true };
        if (isDone) return await stored(this.files.remove(this.path));
        return await this.#write().catch(() => this.#overwrite());
      }
      const now = parseOwner(await stored(this.files.read(this.path)));
      if (now === null || (!now.shared && now.part !== this.record.part))
        await this.files.remove(join(this.path, '..', this.record.part));
    } finally {
      await this.#close();
    }
  }

  async #isOurs(): Promise<boolean> {
    const there = await stored(this.files.look(this.path));
    if (there === null || this.#file === null) return false;
    if (there.ino === this.#facts?.ino && there.mtimeMs === this.#facts.mtimeMs) return true;
    // Some network file systems give a file another date, or number, once it is on the server.
    const now = parseOwner(await stored(this.files.read(this.path)));
    if (now?.token !== this.record.token) return false;
    this.#facts = there;
    return true;
  }

  /** @param isFlushed the content outlives a power cut as soon as its name does */
  async #write(isFlushed = this.#isFlushed): Promise<void> {
    const content = Buffer.from(JSON.stringify(this.record));
    const file = await replaceFile(this.files, this.path, async (fresh) => {
      await stored(this.files.writeAll(fresh, content, 0));
      if (isFlushed) await stored(fresh.datasync());
    });
    await this.#close();
    this.#file = file;
    this.#isFlushed = isFlushed;
    this.#facts = await stored(file.stat());
  }

  /** On a full disk there is no room but the record's own. Else the next one had to work on a copy, for which there is none. */
  async #overwrite(): Promise<void> {
    if (!this.#file) return;
    const { size } = await stored(this.#file.stat());
    const content = Buffer.from(JSON.stringify(this.record).padEnd(size));
    await stored(this.files.writeAll(this.#file, content, 0));
  }

  async #close(): Promise<void> {
    const file = this.#file;
    this.#file = null;
    await file?.close().catch(() => undefined);
  }
}

/** A record that cannot be read belongs to nobody who wrote it whole: there is no partial file to go on with. */
function parseOwner(content: Buffer | null): OwnerRecord | null {
  try {
    const record: unknown = JSON.parse(content?.toString('utf8') ?? '');
    return isOwnerRecord(record) ? record : null;
  } catch {
    return null;
  }
}

let known: Pick<OwnerRecord, 'host' | 'boot' | 'pid' | 'started'> | null = null;

function self() {
  return (known ??= {
    host: hostname(),
    boot: processSpace(),
    pid: process.pid,
    started: startOf(process.pid),
  });
}

/** Proven dead: its process number, in this very process space, is free or belongs to a younger process. */
function isDead(owner: OwnerRecord): boolean {
  const { host, boot } = self();
  return (
    boot !== '' &&
    owner.host === host &&
    owner.boot === boot &&
    startOf(owner.pid) !== owner.started
  );
}

/** Names the space in which process numbers mean something: this boot, this container. Empty = unknown. */
function processSpace(): string {
  try {
    return `${readSmall('/proc/sys/kernel/random/boot_id')} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return '';
  }
}

/** Start time of a process in clock ticks since boot; empty when there is no such process. */
function startOf(pid: number): string {
  const stat = readSmall(`/proc/${pid}/stat`);
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}

function readSmall(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}
