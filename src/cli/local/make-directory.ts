/**
 * Makes a directory and what is missing above it, and makes sure that this user may write there; says which setting to
 * change where that cannot be. One folder at a time: Node's own `recursive` never ends where a parent exists and the
 * system still answers ENOENT, as /proc does.
 */
import { accessSync, constants, mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { plain } from '../output/text.js';
import { CommandError, EXIT } from '../exit-codes.js';

/**
 * @param directory absolute
 * @param setting what the user changes to have another one
 * @throws CommandError (78) naming the directory, the system's reason and the setting
 */
export function makeDirectory(directory: string, setting?: string): void {
  try {
    for (const folder of missing(directory).reverse()) makeOne(folder);
    accessSync(directory, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw cannotUse(directory, error, setting);
  }
}

export function cannotUse(path: string, error: unknown, setting = 'NIMBUS_DATA_DIR'): CommandError {
  const { code, message } = error as NodeJS.ErrnoException;
  return new CommandError(
    `${plain(path)} cannot be used: ${code ?? plain(message)}`,
    EXIT.config,
    `Set ${setting} to a place that this user may write to`,
  );
}

/** From the innermost to the outermost folder that is not there. */
function missing(directory: string): string[] {
  const found = statSync(directory, { throwIfNoEntry: false });
  if (found) {
    if (found.isDirectory()) return [];
    throw Object.assign(new Error('Not a directory'), { code: 'ENOTDIR' });
  }
  return [directory, ...missing(dirname(directory))];
}

function makeOne(folder: string): void {
  try {
    mkdirSync(folder);
  } catch (error) {
    const isThere = statSync(folder, { throwIfNoEntry: false })?.isDirectory();
    if (!isThere) throw error;
  }
}
