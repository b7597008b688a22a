/** The system query options of `Products`: checked as the service checks them, and refused in its words. */
import { json, type Answer } from '../http/answer.js';
import { FilterError, parseFilter, type Filter } from './filter-parser.js';

export const defaultTop = 20;
export const mostTop = 1000;
export const mostSkip = 10_000;

const orderFields = [
  'ContentDate/Start',
  'ContentDate/End',
  'PublicationDate',
  'ModificationDate',
] as const;
const expandable = ['Attributes', 'Assets', 'Locations'] as const;

export interface ProductQuery {
  filter: Filter | null;
  order: { field: (typeof orderFields)[number]; descending: boolean } | null;
  top: number;
  skip: number;
  count: boolean;
  expand: string[];
  select: string[] | null;
  /** The options as sent, in their order: the next link repeats them. */
  sent: [name: string, value: string][];
}

/** A query, or the answer that refuses it. */
export function parseQuery(params: URLSearchParams): ProductQuery | Answer {
  const sent = [...params];
  const one = (name: string): string | null => params.get(name);
  const top = wholeNumber('$top', one('$top'), defaultTop, mostTop);
  if (typeof top !== 'number') return top;
  const skip = wholeNumber('$skip', one('$skip'), 0, mostSkip);
  if (typeof skip !== 'number') return skip;
  const order = parseOrder(one('$orderby'));
  if (order === 'bad') return badOrder(one('$orderby')!);
  const expand = params
    .getAll('$expand')
    .flatMap((value) => value.split(',').map((part) => part.trim()));
  const unknown = expand.find((name) => !(expandable as readonly string[]).includes(name));
  if (unknown !== undefined) return badOption('$expand', unknown, expandable);
  const filter = parseFilterOption(one('$filter'));
  if (filter !== null && 'status' in filter) return filter;
  return {
    filter,
    order,
    top,
    skip,
    count: ['true', '1'].includes((one('$count') ?? '').toLowerCase()),
    expand: [...new Set(expand)],
    select:
      one('$select')
        ?.split(',')
        .map((part) => part.trim()) ?? null,
    sent,
  };
}

function parseFilterOption(text: string | null): Filter | Answer | null {
  if (text === null || text.trim() === '') return null;
  try {
    return parseFilter(text);
  } catch (error) {
    if (error instanceof FilterError) return json(400, { detail: error.message });
    throw error;
  }
}

/** 422 as recorded in `observed-errors.json`. */
function wholeNumber(
  name: string,
  text: string | null,
  otherwise: number,
  most: number,
): number | Answer {
  if (text === null) return otherwise;
  const refuse = (type: string, msg: string, ctx: Record<string, number> | null): Answer =>
    json(422, {
      detail: [{ type, loc: ['query', name], msg, input: text, ...(ctx ? { ctx } : {}) }],
    });
  if (!/^[-+]?\d+$/.test(text.trim()))
    return refuse(
      'int_parsing',
      'Input should be a valid integer, unable to parse string as an integer',
      null,
    );
  const value = Number(text);
  if (value < 0)
    return refuse('greater_than_equal', 'Input should be greater than or equal to 0', { ge: 0 });
  if (value > most)
    return refuse('less_than_equal', `Input should be less than or equal to ${most}`, { le: most });
  return value;
}

function parseOrder(text: string | null): ProductQuery['order'] | 'bad' {
  if (text === null || text.trim() === '') return null;
  const [field, direction = 'asc', ...rest] = text.trim().split(/\s+/);
  const known = orderFields.find((name) => name === field);
  if (!known || rest.length > 0 || !['asc', 'desc'].includes(direction.toLowerCase())) return 'bad';
  return { field: known, descending: direction.toLowerCase() === 'desc' };
}

function badOrder(text: string): Answer {
  return badOption('$orderby', text, orderFields);
}

function badOption(name: string, input: string, expected: readonly string[]): Answer {
  const msg = `Input should be one of ${expected.map((value) => `'${value}'`).join(', ')}`;
  return json(422, {
    detail: [{ type: 'enum', loc: ['query', name], msg, input, ctx: { expected } }],
  });
}

/**
 * The absolute address of the next page, or null. It is left out after a page that is not full, and also where
 * skip plus top passes the limit although more products exist.
 */
export function nextLink(query: ProductQuery, found: number, address: string): string | null {
  if (found < query.top || query.skip + query.top > mostSkip) return null;
  const skip: [string, string] = ['$skip', String(query.skip + query.top)];
  const kept = query.sent.map(([name, value]): [string, string] => {
    if (name === '$skip') return skip;
    return name === '$filter' ? [name, rewriteTimes(value)] : [name, value];
  });
  if (!kept.some(([name]) => name === '$skip')) kept.push(skip);
  return `${address}?${new URLSearchParams(kept).toString()}`;
}

/** Every second bare time literal gets six decimals; the others stay as sent, as in a recorded link. */
function rewriteTimes(filter: string): string {
  let seen = 0;
  return filter.replace(
    /(?<!')\b(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?Z(?!')/g,
    (literal, seconds: string, decimals: string | undefined) => {
      seen += 1;
      return seen % 2 === 0 ? `${seconds}.${(decimals ?? '').padEnd(6, '0')}Z` : literal;
    },
  );
}
