/**
 * Which files of a product a request's `assets` select. A pattern without a slash is compared with a file's own name, one
 * with a slash with its whole path inside the product. `*` is any run of characters and `?` one character, neither a slash;
 * `[2-4]` is one of a set, `[!2-4]` one outside it; `**` as a whole part is any number of folders. Upper and lower case differ.
 *
 * Matched by hand, never as a regular expression: the time is at most the product of both lengths, whatever the pattern. Pure.
 */

export interface AssetSelection {
  include: string[];
  exclude: string[];
}

type Token =
  | { kind: 'any' }
  | { kind: 'one' }
  | { kind: 'char'; char: string }
  | { kind: 'set'; outside: boolean; ranges: [from: string, to: string][] };

interface Pattern {
  /** One list of tokens for each part of a path; null stands for any number of folders. */
  parts: (Token[] | null)[];
  isName: boolean;
}

/** What is wrong with a pattern, in words for its author; null = nothing. */
export function patternFault(pattern: string): string | null {
  const compiled = compile(pattern);
  return typeof compiled === 'string' ? compiled : null;
}

/** Does the request want less than everything? */
export function isSelective(assets: AssetSelection | undefined): assets is AssetSelection {
  return assets !== undefined && assets.include.length + assets.exclude.length > 0;
}

/**
 * The paths that are selected, in the order given: those that one of `include` matches (all, where it is empty) and none of
 * `exclude`. Paths are relative to the product, with forward slashes.
 * @throws Error for a pattern that patternFault refuses
 */
export function selectPaths(assets: AssetSelection, paths: readonly string[]): string[] {
  const include = assets.include.map(compiled);
  const exclude = assets.exclude.map(compiled);
  return paths.filter((path) => {
    const parts = path.split('/').map((part) => [...part]);
    return (
      (include.length === 0 || include.some((pattern) => matches(pattern, parts))) &&
      !exclude.some((pattern) => matches(pattern, parts))
    );
  });
}

function compiled(pattern: string): Pattern {
  const result = compile(pattern);
  if (typeof result === 'string') throw new Error(`${pattern}: ${result}`);
  return result;
}

function compile(pattern: string): Pattern | string {
  if (pattern === '') return 'Empty';
  if (/[\u0000-\u001f\u007f]/.test(pattern)) return 'Holds a control character';
  if (pattern.includes('\\'))
    return 'A backslash separates nothing and escapes nothing: folders are separated by /';
  if (/[{}]/.test(pattern)) return 'Braces are not understood: give each alternative by itself';
  if (pattern.startsWith('/'))
    return 'Begins with a slash: paths are relative to the product, as in GRANULE/**';
  if (pattern.endsWith('/')) return `Ends in a slash: ${pattern}** is everything below that folder`;
  const names = pattern.split('/');
  if (names.includes('')) return 'Has a part without a name: two slashes in a row';
  if (names.some((name) => name === '.' || name === '..'))
    return 'Parts . and .. lead nowhere: paths are relative to the product';
  const parts: Pattern['parts'] = [];
  for (const name of names) {
    if (name === '**') {
      if (parts.at(-1) !== null) parts.push(null);
      continue;
    }
    if (name.includes('**')) return '** stands for whole folders: write it between slashes';
    const tokens = tokensOf(name);
    if (typeof tokens === 'string') return tokens;
    parts.push(tokens);
  }
  // A last ** is what lies below, not the folder itself.
  if (parts.at(-1) === null) parts.push([{ kind: 'any' }]);
  return { parts, isName: names.length === 1 && names[0] !== '**' };
}

function tokensOf(name: string): Token[] | string {
  const tokens: Token[] = [];
  const chars = [...name];
  for (let at = 0; at < chars.length; at++) {
    const char = chars[at]!;
    if (char === '*') tokens.push({ kind: 'any' });
    else if (char === '?') tokens.push({ kind: 'one' });
    else if (char === '[') {
      const end = chars.indexOf(']', at + 2);
      if (end < 0) return 'A set that begins with [ does not end with ]';
      const set = setOf(chars.slice(at + 1, end));
      if (set === null)
        return `The set ${chars.slice(at, end + 1).join('')} is empty or runs backwards`;
      tokens.push(set);
      at = end;
    } else tokens.push({ kind: 'char', char });
  }
  return tokens;
}

function setOf(chars: string[]): Token | null {
  const outside = chars[0] === '!' || chars[0] === '^';
  const given = outside ? chars.slice(1) : chars;
  const ranges: [string, string][] = [];
  for (let at = 0; at < given.length; at++) {
    const from = given[at]!;
    const isRange = given[at + 1] === '-' && at + 2 < given.length;
    const to = isRange ? given[at + 2]! : from;
    if (to < from) return null;
    ranges.push([from, to]);
    if (isRange) at += 2;
  }
  return ranges.length === 0 ? null : { kind: 'set', outside, ranges };
}

function matches({ parts, isName }: Pattern, path: string[][]): boolean {
  if (isName) return matchesName(parts[0]!, path.at(-1)!);
  return wild(
    parts,
    path,
    (part) => part === null,
    (part, name) => matchesName(part!, name),
  );
}

function matchesName(tokens: Token[], name: string[]): boolean {
  return wild(tokens, name, ({ kind }) => kind === 'any', matchesChar);
}

function matchesChar(token: Token, char: string): boolean {
  if (token.kind === 'one') return true;
  if (token.kind === 'char') return token.char === char;
  return (
    token.kind === 'set' &&
    token.ranges.some(([from, to]) => char >= from && char <= to) !== token.outside
  );
}

/** A list against a pattern of which some items stand for any run. Only the last such item is ever tried again. */
function wild<P, T>(
  pattern: readonly P[],
  list: readonly T[],
  isAny: (item: P) => boolean,
  isOne: (item: P, value: T) => boolean,
): boolean {
  let at = 0;
  let item = 0;
  let anyItem = -1;
  let anyAt = 0;
  while (at < list.length) {
    const wanted = pattern[item];
    if (item < pattern.length && isAny(wanted as P)) {
      anyItem = item++;
      anyAt = at;
    } else if (item < pattern.length && isOne(wanted as P, list[at]!)) {
      item++;
      at++;
    } else if (anyItem >= 0) {
      item = anyItem + 1;
      at = ++anyAt;
    } else return false;
  }
  while (item < pattern.length && isAny(pattern[item]!)) item++;
  return item === pattern.length;
}
