/**
 * Reads a JSON body, bounded in every way: bytes while they come, strict UTF-8, depth before it is parsed, and no key
 * that could reach a prototype. Errors: 413, 415, 400.
 */
import type { IncomingMessage } from 'node:http';
import type { RequestHandler } from 'express';
import { ServiceError } from '../../jobs/error-codes.js';
import { hasBody } from '../http-problems.js';

const DEEPEST = 64;
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Leaves the parsed value, or `undefined` for an empty body that may be empty, in `request.body`. */
export function jsonBody(maxBytes: number, required: boolean): RequestHandler[] {
  return [
    requireJson,
    async (request, _response, next) => {
      const bytes = await readBytes(request, maxBytes);
      if (required && bytes.length === 0)
        throw new ServiceError('BadRequest', 'The body is empty: send a JSON object');
      request.body = bytes.length > 0 ? parseJson(bytes) : undefined;
      next();
    },
  ];
}

/**
 * Stops at the first byte too many, or before the first where the length says so: what is still on its way is left to
 * the closing of the connection.
 */
async function readBytes(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const tooLarge = (): ServiceError =>
    new ServiceError('PayloadTooLarge', `The body is larger than ${maxBytes} bytes`);
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) throw tooLarge();
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const fail = (error: ServiceError): void => {
      request.off('data', take).pause();
      reject(error);
    };
    const take = (chunk: Buffer): void => {
      chunks.push(chunk);
      size += chunk.length;
      if (size > maxBytes) fail(tooLarge());
    };
    request
      .on('data', take)
      .once('end', () => resolve(Buffer.concat(chunks, size)))
      .once('error', () => fail(new ServiceError('BadRequest', 'The body was cut off')));
  });
}

const requireJson: RequestHandler = (request, _response, next) => {
  const type = request.headers['content-type'] ?? '';
  if (
    hasBody(request) &&
    !/^application\/json\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?;?\s*$/i.test(type)
  )
    throw new ServiceError('UnsupportedMediaType', 'Send the body as application/json in UTF-8');
  if (hasBody(request) && (request.headers['content-encoding'] ?? 'identity') !== 'identity')
    throw new ServiceError('UnsupportedMediaType', 'Send the body without Content-Encoding');
  next();
};

/** @throws ServiceError BadRequest */
export function parseJson(bytes: Uint8Array): unknown {
  const text = decode(bytes);
  refuseDepth(text);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ServiceError('BadRequest', 'The body is not JSON');
  }
  refuseKeys(value);
  return value;
}

function decode(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new ServiceError('BadRequest', 'The body is not UTF-8');
  }
}

/** Counts brackets outside of strings, so that nothing deep is ever built. */
function refuseDepth(text: string): void {
  let depth = 0;
  let inString = false;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (inString) {
      if (code === 0x5c) index++;
      else if (code === 0x22) inString = false;
    } else if (code === 0x22) inString = true;
    else if (code === 0x5b || code === 0x7b) {
      if (++depth > DEEPEST)
        throw new ServiceError('BadRequest', `The body is nested deeper than ${DEEPEST} levels`);
    } else if (code === 0x5d || code === 0x7d) depth--;
  }
}

const refusedKeys = new Set(['__proto__', 'constructor', 'prototype']);

function refuseKeys(value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  if (!Array.isArray(value))
    for (const key of Object.keys(value))
      if (refusedKeys.has(key))
        throw new ServiceError('BadRequest', `The body has a key that is not allowed: ${key}`);
  for (const member of Object.values(value)) refuseKeys(member);
}
