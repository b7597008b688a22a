/** Where the recordings and real scenes are, on machines that have them. Tests that need them say so when they are skipped. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../../shared/', import.meta.url));

export const hasShared = existsSync(`${root}providers/recordings`);
export const sharedPath = (path: string): string => root + path;
