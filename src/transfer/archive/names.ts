/**
 * Names of members: decoded, judged, and kept apart. A name is refused that would leave the folder it is unpacked into on
 * any of the usual systems, and so are two names that are one file where case or composition does not count.
 * @see APPNOTE.TXT 6.3.10 §4.4.17
 */
import { archiveError } from './faults.js';

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** As UTF-8 where it is that, whatever the flag says: many writers forget it. Else byte by byte. */
export function decodeName(bytes: Buffer): string {
  try {
    return strictUtf8.decode(bytes);
  } catch {
    return bytes.toString('latin1');
  }
}

/** @throws SourceRefused (`unsafe`) */
export function refuseUnsafeName(name: string, depth: number): void {
  const why = unsafe(name, depth);
  if (why)
    throw archiveError('unsafe', `${JSON.stringify(shown(name))} ${why}`, { member: shown(name) });
}

/** A name that may be shown whatever it holds. */
export function shown(name: string): string {
  return name.length > 200 ? `${name.slice(0, 200)}…` : name;
}

function unsafe(name: string, depth: number): string | null {
  if (name === '') return 'is no name';
  if (/[\0-\x1f\x7f]/.test(name)) return 'holds control characters';
  if (name.includes('\\')) return 'holds a backslash';
  if (name.startsWith('/')) return 'is absolute';
  if (/^[a-z]:/i.test(name)) return 'names a drive';
  const steps = name.split('/');
  if (steps.includes('..')) return 'leads out of its folder';
  if (steps.length - 1 > depth) return `lies more than ${depth} folders deep`;
  return null;
}

/** Every name of an archive, each once: files and folders, compared without case and composition. */
export class NameRegister {
  readonly #files = new Set<string>();
  readonly #folders = new Set<string>();

  /** @throws SourceRefused (`unsafe`) on a second file of a name, or a file where others need a folder */
  add(name: string, isDirectory: boolean): void {
    const steps = name
      .normalize('NFC')
      .toLowerCase()
      .split('/')
      .filter((step) => step !== '' && step !== '.');
    const path = steps.join('/');
    if (isDirectory) this.#addFolder(path, name);
    else {
      if (this.#files.has(path)) throw collision(name, 'is there twice');
      if (this.#folders.has(path)) throw collision(name, 'is a file and a folder');
      if (steps.length === 0) throw collision(name, 'is no name');
      this.#files.add(path);
      this.#addFolder(steps.slice(0, -1).join('/'), name);
    }
  }

  #addFolder(path: string, name: string): void {
    for (let at = path; at !== '' && !this.#folders.has(at);) {
      if (this.#files.has(at)) throw collision(name, 'lies in a folder that is a file');
      this.#folders.add(at);
      at = at.slice(0, Math.max(0, at.lastIndexOf('/')));
    }
  }
}

function collision(name: string, what: string) {
  return archiveError('unsafe', `${JSON.stringify(shown(name))} ${what}`, { member: shown(name) });
}
