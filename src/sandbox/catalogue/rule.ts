/**
 * Chance by rule: every "random" choice of the sandbox is a pure function of the seed and a text,
 * so that the same seed makes the same catalogue, ids and bytes on every machine.
 */
import { createHash } from 'node:crypto';

/** FNV-1a over UTF-16 units, finished like MurmurHash3: an unsigned 32-bit number. */
export function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1)
    hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return mix32(hash);
}

/** Spreads the bits of a 32-bit number. */
export function mix32(value: number): number {
  let mixed = value ^ (value >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

/** In [0, 1). */
export function fraction(text: string): number {
  return hash32(text) / 0x1_0000_0000;
}

export function pick<T>(choices: readonly T[], text: string): T {
  return choices[hash32(text) % choices.length]!;
}

/** A stable UUID; most are version 5, some 4, and some 1 as the service's own younger entries are. */
export function stableUuid(text: string): string {
  const hex = createHash('md5').update(text).digest('hex');
  const version = ['5', '5', '5', '4', '1'][Number.parseInt(hex[31]!, 16) % 5]!;
  const variant = '89ab'[Number.parseInt(hex[16]!, 16) % 4]!;
  const node = version === '1' ? '0242ac120002' : hex.slice(20);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${version}${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${node}`;
}

/** 20250103T112341 */
export function compactTime(ms: number): string {
  return new Date(ms).toISOString().slice(0, 19).replace(/[-:]/g, '');
}

/** 2025-01-03T11:23:41.024000Z: six decimals, as the service writes since 2024. */
export function sixDecimals(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '000Z');
}

/** 2025/01/03 */
export function dayPath(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10).replaceAll('-', '/');
}
