/**
 * File names from strangers. What comes out is a single, visible, portable path segment: no separators, control or
 * direction characters, reserved device names or leading dots, and at most 200 bytes.
 */

const MAX_BYTES = 200;
const RESERVED = /^(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)/i;

/** @param fallback used, sanitised too, when nothing usable is left; `file` when that is empty as well. */
export function sanitiseFileName(name: string, fallback = 'file'): string {
  const clean = shorten(
    name
      .normalize('NFC')
      .replace(
        /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]/gu,
        '',
      )
      .replace(/[/\\:*?"<>|;]/g, '_')
      .replace(/^[\s._]+(?=[^\s._])/, '')
      // Without the look behind, a run in the middle is read once for each of its characters.
      .replace(/(?<![\s.;_])[\s.;_]+$/, '')
      .trim(),
  );
  if (clean === '' || /^[._]+$/.test(clean))
    return name === fallback ? 'file' : sanitiseFileName(fallback, fallback);
  return RESERVED.test(clean) ? `_${clean}` : clean;
}

/** Cuts the stem and keeps the extension, on whole characters. */
function shorten(name: string): string {
  if (Buffer.byteLength(name) <= MAX_BYTES) return name;
  const extension = /\.[A-Za-z0-9]{1,16}$/.exec(name)?.[0] ?? '';
  let stem = '';
  let room = MAX_BYTES - extension.length;
  for (const character of name.slice(0, name.length - extension.length)) {
    room -= Buffer.byteLength(character);
    if (room < 0) break;
    stem += character;
  }
  return stem + extension;
}

/** The name in a Content-Disposition, unsanitised; null when there is none. @see RFC 6266, RFC 8187 */
export function dispositionName(disposition: string | null | undefined): string | null {
  if (!disposition) return null;
  const extended = /;\s*filename\*\s*=\s*utf-8'[^']*'([^;\s]+)/i.exec(disposition)?.[1];
  if (extended !== undefined) {
    try {
      return decodeURIComponent(extended);
    } catch {
      // not UTF-8 after all: the plain form may still serve
    }
  }
  const quoted = /;\s*filename\s*=\s*"((?:[^"\\]|\\.)*)"/i.exec(disposition)?.[1];
  if (quoted !== undefined) return quoted.replace(/\\(.)/g, '$1');
  return /;\s*filename\s*=\s*([^;]+)/i.exec(disposition)?.[1]?.trim() ?? null;
}
