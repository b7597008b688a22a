/**
 * `$filter` → a tree, by recursive descent over the grammar of the catalogue (copernicus.md §2.1).
 * Linear in the text's length; nesting is bounded; an error names the place and what was expected there.
 */
import { parseArea, type Area } from './area.js';

export type Comparison = 'eq' | 'ne' | 'lt' | 'le' | 'gt' | 'ge';
export type AttributeType = 'String' | 'Integer' | 'Double' | 'DateTimeOffset' | 'Boolean';
export type Literal =
  | { kind: 'text'; value: string }
  | { kind: 'number'; value: number }
  | { kind: 'boolean'; value: boolean }
  | { kind: 'time'; ms: number };

export type Filter =
  | { kind: 'and' | 'or'; terms: Filter[] }
  | { kind: 'not'; term: Filter }
  | { kind: 'compare'; field: string; operator: Comparison; literal: Literal }
  | { kind: 'text'; test: 'contains' | 'startswith' | 'endswith'; field: string; value: string }
  | { kind: 'attribute'; name: string; type: AttributeType; operator: Comparison; literal: Literal }
  | { kind: 'intersects'; area: Area };

/** The filter cannot be understood; answered with 400 and `{"detail": message}`. */
export class FilterError extends Error {
  override readonly name = 'FilterError';
}

const comparisons: readonly string[] = ['eq', 'ne', 'lt', 'le', 'gt', 'ge'];
const textFields: readonly string[] = ['Name', 'Collection/Name', 'DeletionCause'];
const timeFields: readonly string[] = [
  'PublicationDate',
  'ModificationDate',
  'OriginDate',
  'ContentDate/Start',
  'ContentDate/End',
  'DeletionDate',
];
const deepest = 60;

interface Token {
  kind: 'word' | 'text' | 'sign' | 'end';
  value: string;
  at: number;
}

/** @throws FilterError */
export function parseFilter(text: string): Filter {
  const reader = new Reader(tokenize(text));
  const filter = readOr(reader, 0);
  if (reader.peek().kind !== 'end') reader.fail('the end or a logical operator');
  return filter;
}

function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  const pattern = /\s+|'((?:[^']|'')*)'|([(),=:;])|([^\s'(),=;:]+(?::[^\s'(),=;]+)*)/gy;
  for (let at = 0; at < text.length; at = pattern.lastIndex) {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (!match) throw new FilterError(`Invalid filter: unclosed quote at position ${at}`);
    if (match[1] !== undefined)
      tokens.push({ kind: 'text', value: match[1].replaceAll("''", "'"), at });
    else if (match[2] !== undefined) tokens.push({ kind: 'sign', value: match[2], at });
    else if (match[3] !== undefined) tokens.push({ kind: 'word', value: match[3], at });
  }
  return [...tokens, { kind: 'end', value: '', at: text.length }];
}

class Reader {
  private place = 0;
  constructor(private readonly tokens: Token[]) {}

  peek(): Token {
    return this.tokens[this.place]!;
  }
  next(): Token {
    const token = this.peek();
    if (token.kind !== 'end') this.place += 1;
    return token;
  }
  takes(value: string): boolean {
    const token = this.peek();
    if (token.kind === 'text' || token.value !== value) return false;
    this.place += 1;
    return true;
  }
  expect(value: string): void {
    if (!this.takes(value)) this.fail(`"${value}"`);
  }
  word(what: string): string {
    if (this.peek().kind !== 'word') this.fail(what);
    return this.next().value;
  }
  text(what: string): string {
    if (this.peek().kind !== 'text') this.fail(what);
    return this.next().value;
  }
  fail(wanted: string, token: Token = this.peek()): never {
    const found = token.kind === 'end' ? 'the end' : `"${token.value.slice(0, 60)}"`;
    throw new FilterError(
      `Invalid filter: expected ${wanted} at position ${token.at}, found ${found}`,
    );
  }
}

function readOr(reader: Reader, depth: number): Filter {
  if (depth > deepest) throw new FilterError('Invalid filter: nested too deeply');
  return readTerms(reader, 'or', () => readTerms(reader, 'and', () => readUnary(reader, depth)));
}

function readTerms(reader: Reader, word: 'and' | 'or', read: () => Filter): Filter {
  const terms = [read()];
  while (reader.takes(word)) terms.push(read());
  return terms.length === 1 ? terms[0]! : { kind: word, terms };
}

function readUnary(reader: Reader, depth: number): Filter {
  if (reader.takes('not')) {
    if (depth >= deepest) throw new FilterError('Invalid filter: nested too deeply');
    return { kind: 'not', term: readUnary(reader, depth + 1) };
  }
  if (reader.takes('(')) {
    const inner = readOr(reader, depth + 1);
    reader.expect(')');
    return inner;
  }
  const start = reader.peek();
  const word = reader.word('a field or a function');
  if (word === 'contains' || word === 'startswith' || word === 'endswith')
    return readTextTest(reader, word);
  if (word === 'OData.CSC.Intersects') return readIntersects(reader);
  const attribute = /^Attributes\/OData\.CSC\.(\w+)Attribute\/any$/.exec(word);
  if (attribute) {
    attributeType(attribute[1]!, reader, start);
    return readAttribute(reader);
  }
  return readComparison(reader, word, start);
}

function readTextTest(reader: Reader, test: 'contains' | 'startswith' | 'endswith'): Filter {
  reader.expect('(');
  const start = reader.peek();
  const field = reader.word('Name');
  if (field !== 'Name') reader.fail('Name', start);
  reader.expect(',');
  const value = reader.text('a quoted text');
  reader.expect(')');
  return { kind: 'text', test, field, value };
}

/** `(area=geography'SRID=4326;POLYGON((…))')` */
function readIntersects(reader: Reader): Filter {
  reader.expect('(');
  reader.expect('area');
  reader.expect('=');
  reader.expect('geography');
  const start = reader.peek();
  const text = reader.text("'SRID=4326;<geometry>'");
  reader.expect(')');
  const area = parseArea(text);
  if (typeof area === 'string')
    throw new FilterError(`Invalid geometry at position ${start.at}: ${area}`);
  return { kind: 'intersects', area };
}

/** `(att:att/Name eq 'n' and att/OData.CSC.<T>Attribute/Value <op> <v>)`; outer and inner type may differ. */
function readAttribute(reader: Reader): Filter {
  reader.expect('(');
  // `att:att/Name` is one word unless spaces surround the colon.
  let head = reader.word('a variable');
  if (reader.takes(':')) head = `${head}:${reader.word('variable/Name')}`;
  const [variable, path] = head.split(':');
  if (!variable || path !== `${variable}/Name`) reader.fail('variable:variable/Name');
  reader.expect('eq');
  const name = reader.text('the attribute name in quotes');
  reader.expect('and');
  const start = reader.peek();
  const inner = new RegExp('^([^/]+)/OData\\.CSC\\.(\\w+)Attribute/Value$').exec(
    reader.word('variable/OData.CSC.<Type>Attribute/Value'),
  );
  if (inner?.[1] !== variable) reader.fail(`${variable}/OData.CSC.<Type>Attribute/Value`, start);
  const type = attributeType(inner[2]!, reader, start);
  const operator = readOperator(reader);
  const literal = readLiteral(reader);
  reader.expect(')');
  return { kind: 'attribute', name, type, operator, literal };
}

function attributeType(name: string, reader: Reader, at: Token): AttributeType {
  const types: readonly string[] = ['String', 'Integer', 'Double', 'DateTimeOffset', 'Boolean'];
  if (!types.includes(name)) reader.fail('a known attribute type', at);
  return name as AttributeType;
}

function readComparison(reader: Reader, field: string, start: Token): Filter {
  const isText = textFields.includes(field);
  const isTime = timeFields.includes(field);
  if (!isText && !isTime && field !== 'Online') reader.fail('a known field', start);
  const operator = readOperator(reader);
  const place = reader.peek();
  const literal = readLiteral(reader);
  if (isText && literal.kind !== 'text') reader.fail('a quoted text', place);
  if (field === 'Online' && literal.kind !== 'boolean') reader.fail('true or false', place);
  if (!isTime) return { kind: 'compare', field, operator, literal };
  const ms = literal.kind === 'time' ? literal.ms : parseTime(String(readable(literal)));
  if (Number.isNaN(ms)) reader.fail('a date', place);
  return { kind: 'compare', field, operator, literal: { kind: 'time', ms } };
}

function readOperator(reader: Reader): Comparison {
  const start = reader.peek();
  const word = reader.word('a comparison');
  if (!comparisons.includes(word)) reader.fail('eq, ne, lt, le, gt or ge', start);
  return word as Comparison;
}

function readLiteral(reader: Reader): Literal {
  const token = reader.next();
  if (token.kind === 'text') return { kind: 'text', value: token.value };
  if (token.kind !== 'word') reader.fail('a value', token);
  if (token.value === 'true' || token.value === 'false')
    return { kind: 'boolean', value: token.value === 'true' };
  if (/^[-+]?\d+(\.\d+)?([eE][-+]?\d+)?$/.test(token.value))
    return { kind: 'number', value: Number(token.value) };
  const ms = parseTime(token.value);
  if (Number.isNaN(ms)) reader.fail('a number, a date or a quoted text', token);
  return { kind: 'time', ms };
}

function readable(literal: Literal): string | number | boolean {
  return literal.kind === 'time' ? literal.ms : literal.value;
}

/** A day or an instant → milliseconds; no zone means UTC; NaN for anything else. Microseconds are cut. */
export function parseTime(text: string): number {
  const match =
    /^(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?(Z|[-+]\d\d:?\d\d)?)?$/.exec(text);
  if (!match) return Number.NaN;
  const [, day, time = '00:00:00', decimals = '', zone = 'Z'] = match;
  const whole = Date.parse(`${day}T${time.length === 5 ? `${time}:00` : time}${zone}`);
  return whole + Number(decimals.padEnd(3, '0').slice(0, 3));
}
