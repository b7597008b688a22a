/**
 * Well-known text, read and written: the six simple types, collections of one kind, Z and M, `SRID=4326;` in front.
 * The reader is one walk over the characters, without regular expressions over the whole text and without recursion into collections.
 * @see OGC 06-103r4 §7
 */
import type { Geometry } from '../jobs/product.js';
import { fromParts, toParts } from './parts.js';
import { signedArea, type Position } from './planar.js';
import {
  GeometryCollector,
  invalidInput,
  vertexName,
  type PartKind,
  type ReadGeometry,
} from './read-geometry.js';

const PATH = 'aoi.wkt';
const MAX_LENGTH = 1_000_000;
const MAX_NUMBER_LENGTH = 64;

const COLLECTION = 'GEOMETRYCOLLECTION';

const TYPES: Record<string, { kind: PartKind; multi: boolean }> = {
  POINT: { kind: 'point', multi: false },
  LINESTRING: { kind: 'line', multi: false },
  POLYGON: { kind: 'polygon', multi: false },
  MULTIPOINT: { kind: 'point', multi: true },
  MULTILINESTRING: { kind: 'line', multi: true },
  MULTIPOLYGON: { kind: 'polygon', multi: true },
};

class Scanner {
  private at = 0;

  constructor(private readonly text: string) {}

  private skipSpace(): void {
    while (this.at < this.text.length && this.text.charCodeAt(this.at) <= 32) this.at++;
  }

  get ended(): boolean {
    this.skipSpace();
    return this.at >= this.text.length;
  }

  /** Takes the character if it comes next. */
  accept(character: string): boolean {
    this.skipSpace();
    if (this.text[this.at] !== character) return false;
    this.at++;
    return true;
  }

  expect(character: string): void {
    if (!this.accept(character)) this.fail(`"${character}"`);
  }

  sees(character: string): boolean {
    this.skipSpace();
    return this.text[this.at] === character;
  }

  /** Everything up to white space, a bracket, a comma or a semicolon. */
  token(): string {
    this.skipSpace();
    const start = this.at;
    while (this.at < this.text.length && !this.atDelimiter()) this.at++;
    return this.text.slice(start, this.at);
  }

  private atDelimiter(): boolean {
    const code = this.text.charCodeAt(this.at);
    return code <= 32 || '(),;'.includes(this.text[this.at]!);
  }

  /** The number in `SRID=…;` if the text goes on with that, else null. */
  acceptSrid(): string | null {
    this.skipSpace();
    const srid = /^SRID\s*=\s*(\d{1,9})\s*;/i.exec(this.text.slice(this.at, this.at + 40));
    if (!srid) return null;
    this.at += srid[0].length;
    return srid[1]!;
  }

  fail(expected: string): never {
    if (this.ended)
      throw invalidInput(
        PATH,
        `The text ends too early, where ${expected} is expected: is a bracket unclosed?`,
      );
    const found = this.text.slice(this.at, this.at + 12);
    throw invalidInput(PATH, `Character ${this.at + 1}: expected ${expected}, found "${found}"`);
  }
}

/** NaN for what is no decimal number; infinite for what overflows or says so. */
function toNumber(token: string): number {
  if (token.length > MAX_NUMBER_LENGTH) return NaN;
  if (/^[+-]?inf(inity)?$/i.test(token)) return token.startsWith('-') ? -Infinity : Infinity;
  return /^[-+.\deE]+$/.test(token) ? Number(token) : NaN;
}

function readPosition(
  scanner: Scanner,
  collector: GeometryCollector,
  name: () => string,
): Position {
  const values: number[] = [];
  while (!scanner.ended && !scanner.sees(',') && !scanner.sees(')')) {
    const token = scanner.token();
    if (token === '') scanner.fail('a number');
    const value = toNumber(token);
    if (Number.isNaN(value))
      throw invalidInput(PATH, `${name()}: "${token.slice(0, 20)}" is not a number`);
    values.push(value);
  }
  if (scanner.ended) scanner.fail('"," or ")"');
  return collector.position(values, PATH, name);
}

/** `( item, item, … )` */
function readList<T>(scanner: Scanner, item: (index: number) => T): T[] {
  const items: T[] = [];
  scanner.expect('(');
  do items.push(item(items.length));
  while (scanner.accept(','));
  if (!scanner.accept(')')) scanner.fail('"," or ")"');
  return items;
}

function readPart(
  scanner: Scanner,
  collector: GeometryCollector,
  kind: PartKind,
  label: string,
): void {
  const part = { kind, label };
  const list = (index: number): Position[] =>
    readList(scanner, (vertex) =>
      readPosition(scanner, collector, () => vertexName(part, index, vertex)),
    );
  const lists = kind === 'polygon' ? readList(scanner, list) : [list(0)];
  if (kind === 'point' && lists[0]!.length > 1)
    throw invalidInput(PATH, 'A POINT has one position');
  collector.add({ kind, label, path: PATH, lists });
}

/** Both `MULTIPOINT (1 2, 3 4)` and `MULTIPOINT ((1 2), (3 4))`. */
function readMultiPointMember(scanner: Scanner, collector: GeometryCollector, label: string): void {
  if (scanner.sees('(')) return readPart(scanner, collector, 'point', label);
  const part = { kind: 'point', label } as const;
  const position = readPosition(scanner, collector, () => vertexName(part, 0, 0));
  collector.add({ ...part, path: PATH, lists: [[position]] });
}

interface TypeName {
  /** Upper case, without Z or M. */
  name: string;
  empty: boolean;
}

function readTypeName(scanner: Scanner): TypeName {
  const word = scanner.token().slice(0, 40).toUpperCase();
  if (word === '') scanner.fail('a geometry type');
  const bare = word.replace(/(ZM|Z|M)$/, '');
  const name = bare === COLLECTION || Object.hasOwn(TYPES, bare) ? bare : word;
  const next = () => (scanner.sees('(') ? '' : scanner.token().toUpperCase());
  let tag = next();
  if (['Z', 'M', 'ZM'].includes(tag)) tag = next();
  if (tag !== '' && tag !== 'EMPTY')
    throw invalidInput(PATH, `"${tag.slice(0, 20)}" after ${name.slice(0, 20)} is not understood`);
  return { name, empty: tag === 'EMPTY' };
}

/** A plain type. `owner` names the member of a collection that it is, else empty. */
function readPlain(
  scanner: Scanner,
  collector: GeometryCollector,
  { name, empty }: TypeName,
  owner: string,
): void {
  const type = Object.hasOwn(TYPES, name) ? TYPES[name]! : undefined;
  if (!type) {
    const reason = name === COLLECTION ? 'cannot stand in another one' : 'is not known';
    throw invalidInput(
      PATH,
      `The type ${name.slice(0, 20)} ${reason}: use POINT, LINESTRING, POLYGON or their MULTI forms`,
    );
  }
  if (empty) return;
  if (!type.multi) return readPart(scanner, collector, type.kind, owner);
  readList(scanner, (index) => {
    const label = `${type.kind} ${index + 1}${owner === '' ? '' : ` of ${owner}`}`;
    if (type.kind === 'point') readMultiPointMember(scanner, collector, label);
    else readPart(scanner, collector, type.kind, label);
  });
}

function readCollection(scanner: Scanner, collector: GeometryCollector): void {
  const members = readList(scanner, (index) =>
    readPlain(scanner, collector, readTypeName(scanner), `member ${index + 1}`),
  );
  if (members.length > 1) collector.merged(`${COLLECTION} of ${members.length} members`);
}

/** Skips `SRID=4326;` and refuses any other. */
function skipSrid(scanner: Scanner): void {
  const srid = scanner.acceptSrid();
  if (srid !== null && Number(srid) !== 4326)
    throw invalidInput(
      PATH,
      `SRID ${srid} is not taken: send WGS 84 longitude and latitude (SRID 4326)`,
    );
}

/**
 * Reads one geometry. InvalidInput (path `aoi.wkt`) names the vertex or the character for what cannot be read, the
 * count for more than 5,000 vertices, and refuses any reference system but 4326.
 */
export function readWkt(text: string): ReadGeometry {
  if (text.length > MAX_LENGTH)
    throw invalidInput(
      PATH,
      `The WKT has ${text.length} characters, at most ${MAX_LENGTH} are taken`,
    );
  const scanner = new Scanner(text);
  const collector = new GeometryCollector();
  skipSrid(scanner);
  const type = readTypeName(scanner);
  if (type.name !== COLLECTION) readPlain(scanner, collector, type, '');
  else if (!type.empty) readCollection(scanner, collector);
  if (!scanner.ended) scanner.fail('the end of the text');
  return collector.finish(PATH);
}

/** Decimal notation without exponent or trailing zeros. */
function toDecimal(value: number, decimals: number): string {
  const text = value.toFixed(decimals);
  const short = text.includes('.') ? text.replace(/\.?0+$/, '') : text;
  return short === '-0' ? '0' : short;
}

/** A tenth of a micrometre. */
const FULL_DECIMALS = 12;

/** Would rounding make a ring of this geometry collapse, as it does to a square centimetre? */
function survivesRounding(geometry: Geometry, decimals: number): boolean {
  const round = ([lon, lat]: Position): Position => [
    Number(lon.toFixed(decimals)),
    Number(lat.toFixed(decimals)),
  ];
  return toParts(geometry)
    .polygons.flat()
    .every((ring) => signedArea(ring.map(round)) !== 0);
}

/**
 * Longitude and latitude, rounded to `decimals` (6 = 0.1 m); in full where rounding would make an area vanish.
 * `POLYGON((…))` without a space, single parts never as MULTI.
 */
export function toWkt(geometry: Geometry, decimals = 6): string {
  const digits = survivesRounding(geometry, decimals) ? decimals : FULL_DECIMALS;
  const position = ([lon, lat]: Position) => `${toDecimal(lon, digits)} ${toDecimal(lat, digits)}`;
  const write = (coordinates: unknown): string => {
    const members = coordinates as unknown[];
    return typeof members[0] === 'number'
      ? position(members as Position)
      : `(${members.map(write).join(',')})`;
  };
  const { type, coordinates } = fromParts(toParts(geometry));
  const body = write(coordinates);
  return `${type.toUpperCase()}${type === 'Point' ? `(${body})` : body}`;
}
