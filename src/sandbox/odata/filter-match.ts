/** Whether a product matches a parsed filter. Attributes are looked at only where the rest has not decided. */
import type { CatalogueProduct } from '../catalogue/product.js';
import { intersects } from './area.js';
import { parseTime, type Comparison, type Filter, type Literal } from './filter-parser.js';

/** What a deleted product has on top; null for living ones. */
export interface Deletion {
  atMs: number;
  cause: string;
}

export function matches(
  filter: Filter,
  product: CatalogueProduct,
  deletion: Deletion | null = null,
): boolean {
  switch (filter.kind) {
    case 'and':
      return filter.terms.every((term) => matches(term, product, deletion));
    case 'or':
      return filter.terms.some((term) => matches(term, product, deletion));
    case 'not':
      return !matches(filter.term, product, deletion);
    case 'text':
      return textTest(filter.test, product.name, filter.value);
    case 'intersects':
      return product.footprint !== null && intersects(product.footprint, filter.area);
    case 'compare':
      return compares(
        fieldValue(filter.field, product, deletion),
        filter.operator,
        plain(filter.literal),
      );
    case 'attribute':
      return product
        .attributes()
        .some(
          ({ Name, Value }) =>
            Name === filter.name && attributeMatches(Value, filter.operator, filter.literal),
        );
  }
}

function textTest(
  test: 'contains' | 'startswith' | 'endswith',
  text: string,
  value: string,
): boolean {
  if (test === 'contains') return text.includes(value);
  return test === 'startswith' ? text.startsWith(value) : text.endsWith(value);
}

function fieldValue(
  field: string,
  product: CatalogueProduct,
  deletion: Deletion | null,
): string | number | boolean | null {
  switch (field) {
    case 'Name':
      return product.name;
    case 'Collection/Name':
      return product.collection;
    case 'Online':
      return product.online;
    case 'ContentDate/Start':
      return product.startMs;
    case 'ContentDate/End':
      return product.endMs;
    case 'OriginDate':
      return product.originMs;
    case 'PublicationDate':
      return product.publicationMs;
    case 'ModificationDate':
      return product.modificationMs;
    case 'DeletionDate':
      return deletion?.atMs ?? null;
    default:
      return deletion?.cause ?? null;
  }
}

function plain(literal: Literal): string | number | boolean {
  return literal.kind === 'time' ? literal.ms : literal.value;
}

/** The declared type of the filter need not be the value's own: numbers compare with numbers, dates with dates. */
function attributeMatches(
  value: string | number | boolean,
  operator: Comparison,
  literal: Literal,
): boolean {
  if (literal.kind === 'time') return compares(parseTime(String(value)), operator, literal.ms);
  if (typeof value === 'number') return compares(value, operator, Number(literal.value));
  if (typeof value === 'boolean')
    return compares(String(value), operator, String(literal.value).toLowerCase());
  const instant = literal.kind === 'text' ? parseTime(literal.value) : Number.NaN;
  if (!Number.isNaN(instant)) return compares(parseTime(value), operator, instant);
  return compares(value, operator, String(literal.value));
}

function compares(
  value: string | number | boolean | null,
  operator: Comparison,
  literal: string | number | boolean,
): boolean {
  if (value === null || Number.isNaN(value)) return operator === 'ne';
  switch (operator) {
    case 'eq':
      return value === literal;
    case 'ne':
      return value !== literal;
    case 'lt':
      return value < literal;
    case 'le':
      return value <= literal;
    case 'gt':
      return value > literal;
    case 'ge':
      return value >= literal;
  }
}
