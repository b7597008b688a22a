/** File operations that fail, or take their time, on demand. */
import type { FileHandleLike, Files } from '../../src/transfer/files.js';
import { nodeFiles } from '../../src/transfer/files.js';

export interface Operation {
  /** As the engine calls it: `write`, `datasync`, `rename`, …; `readSmall` is the reading of a whole small file. */
  name: string;
  path: string;
  /** How many operations came before it. */
  index: number;
}

/** An errno to fail with, or nothing; a promise delays the operation. */
export type Plan = (operation: Operation) => string | undefined | Promise<string | undefined>;

export function failingFiles(plan: Plan, inner: Files = nodeFiles): Files {
  let count = 0;
  const ask = async (name: string, path: string) => {
    const code = await plan({ name, path, index: count++ });
    if (code === undefined) return;
    throw Object.assign(new Error(`${code}: ${name} failed on demand`), { code, syscall: name });
  };
  const wrap = (handle: FileHandleLike, path: string): FileHandleLike =>
    new Proxy(handle, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== 'function' || typeof name !== 'string') return value;
        return async (...args: unknown[]) => {
          if (name !== 'close') await ask(name, path);
          return Reflect.apply(value, target, args) as unknown;
        };
      },
    });
  return {
    ...inner,
    async open(path, flags) {
      await ask('open', path);
      return wrap(await inner.open(path, flags), path);
    },
    async read(path) {
      await ask('readSmall', path);
      return inner.read(path);
    },
    async look(path) {
      await ask('look', path);
      return inner.look(path);
    },
    async rename(from, to) {
      await ask('rename', to);
      await inner.rename(from, to);
    },
    async remove(path) {
      await ask('remove', path);
      await inner.remove(path);
    },
    async syncDirectory(path) {
      await ask('syncDirectory', path);
      await inner.syncDirectory(path);
    },
  };
}

/** Fails the nth call (from 0) of one operation on paths that match, once. */
export function failingOnce(name: string, path: RegExp, code: string, nth = 0): Files {
  let left = nth;
  return failingFiles((operation) =>
    operation.name === name && path.test(operation.path) && left-- === 0 ? code : undefined,
  );
}
