/** What an operation takes, in words made from its schemas. */
import { z } from 'zod';
import type { Operation } from './operation.js';

export interface InputText {
  name: string;
  place: 'path' | 'query' | 'header' | 'body';
  text: string;
}

/** The part of JSON Schema that becomes words. */
interface FieldSchema {
  type?: string;
  const?: unknown;
  enum?: string[];
  items?: FieldSchema;
  properties?: Record<string, FieldSchema>;
  required?: string[];
  anyOf?: FieldSchema[];
  minimum?: number;
  maximum?: number;
  default?: unknown;
  description?: string;
}

export function inputsOf({ params, query, headers, body }: Operation): InputText[] {
  const toInput = (place: InputText['place']) => {
    return ([name, text]: [string, string]): InputText => ({ name, place, text });
  };
  return [
    ...Object.entries(params ?? {}).map(toInput('path')),
    ...fieldsOf(query, 'output').map(toInput('query')),
    ...Object.entries(headers ?? {}).map(toInput('header')),
    ...fieldsOf(body, 'input').map(toInput('body')),
  ];
}

function fieldsOf(schema: z.ZodType | undefined, io: 'input' | 'output'): [string, string][] {
  if (!schema) return [];
  const { properties = {}, required = [] } = z.toJSONSchema(schema, {
    io,
    unrepresentable: 'any',
  }) as FieldSchema;
  return Object.entries(properties).map(([name, field]) => [
    name,
    words(field, io === 'input' && required.includes(name)),
  ]);
}

function words(field: FieldSchema, required: boolean): string {
  return [
    required ? 'required' : null,
    kindOf(field),
    field.default === undefined ? null : `default ${JSON.stringify(field.default)}`,
    field.description,
  ]
    .filter(Boolean)
    .join('; ');
}

function kindOf(field: FieldSchema): string | undefined {
  if (field.const !== undefined) return JSON.stringify(field.const);
  if (field.enum) return field.enum.join(' | ');
  if (field.items?.enum) return field.items.enum.join(' | ');
  if (field.type === 'array') return `array of ${field.items?.type ?? 'any'}`;
  const limited = field.type === 'integer' || field.type === 'number';
  return limited && field.maximum !== undefined && field.maximum < Number.MAX_SAFE_INTEGER
    ? `${field.minimum} to ${field.maximum}`
    : field.type;
}
