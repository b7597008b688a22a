/**
 * Scripted misbehaviour. A fault waits for the nth request that matches it and then hands out its steps, one a
 * matching request; an empty step `{}` is a normal answer. When the steps are used up the fault is spent.
 * Of several faults the first, in the order in which they were given, that has a step for the request wins.
 */
import { z } from 'zod';
import type { Catalogue } from './catalogue/catalogue.js';

const offset = z.number().int().nonnegative();

export const actionSchema = z.strictObject({
  /** Wait before anything is sent. */
  delayMs: offset.optional(),
  /** Close the connection without an answer. */
  closeBeforeHeaders: z.boolean().optional(),
  /** Answer with this instead. */
  status: z.number().int().min(200).max(599).optional(),
  headers: z.record(z.string(), z.string()).optional(),
  /** Text, or anything else as JSON. */
  body: z.unknown().optional(),
  /** A web page with status 200 instead of the file. */
  htmlPage: z.boolean().optional(),
  /** 302 to this address. */
  redirect: z.string().optional(),
  /** Break the connection when this many body bytes of the answer were sent. */
  cutAfterBytes: offset.optional(),
  /** With `cutAfterBytes`: by a TCP reset, which may also lose bytes that were sent and not yet read. */
  reset: z.boolean().optional(),
  /** End the answer after this many body bytes as if it were whole; the announced length stays. */
  endAfterBytes: offset.optional(),
  /** Stop sending after this many body bytes, for `stallMs` or for ever. */
  stallAfterBytes: offset.optional(),
  stallMs: offset.optional(),
  /** Serve only the first bytes of the object, and announce that as its length. */
  shortBodyBytes: offset.optional(),
  /** Announce this length, whatever is sent. */
  contentLength: offset.optional(),
  /** No Content-Length: the body is sent in chunks. */
  chunked: z.boolean().optional(),
  /** Flip one bit of the byte at this offset of the object. */
  flipByteAt: offset.optional(),
  /** Overwrite the object with this text from an offset on. */
  inject: z.strictObject({ at: offset, text: z.string() }).optional(),
  /** Send this Content-Range instead of the true one. */
  contentRange: z.string().optional(),
  /** Begin the range this many bytes later (negative: earlier), and say so truthfully. */
  shiftRange: z.number().int().optional(),
  /** Answer a ranged request with 200 and everything. */
  ignoreRange: z.boolean().optional(),
  /** Serve other content of the same size; another text is yet another content. */
  changeContent: z.string().min(1).optional(),
  etag: z.string().optional(),
  /** Send this slowly. */
  bytesPerSecond: z.number().positive().optional(),
});
export type FaultAction = z.infer<typeof actionSchema>;

export const faultSchema = z
  .strictObject({
    match: z
      .strictObject({
        /** Id, name, or place in the catalogue from 0. */
        product: z.union([z.string(), offset]).optional(),
        /** Regular expression on the decoded path without the query. */
        path: z.string().optional(),
        method: z.string().optional(),
        /** Default: `download` when a product is named, else any. */
        server: z.enum(['catalogue', 'download']).optional(),
        /** The first matching request that is affected. */
        nth: z.number().int().positive().default(1),
        /** How often the steps are handed out in all. */
        times: z.union([z.number().int().positive(), z.literal('always')]).default(1),
      })
      .prefault({}),
    action: actionSchema.optional(),
    steps: z.array(actionSchema).min(1).optional(),
  })
  .refine((fault) => (fault.action === undefined) !== (fault.steps === undefined), {
    error: 'Give either action or steps',
  });
/** As written by a person: defaults may be left out. */
export type Fault = z.input<typeof faultSchema>;

export interface FaultedRequest {
  server: 'catalogue' | 'download';
  method: string;
  path: string;
  productId: string | null;
}

export interface FaultBook {
  /** @throws Error when a product or a pattern is not understood; nothing is added then */
  add(faults: readonly Fault[]): void;
  clear(): void;
  list(): { fault: Fault; matched: number; spent: boolean }[];
  /** The step for this request; counts it for every fault that it matches. */
  take(request: FaultedRequest): FaultAction | null;
}

export function createFaultBook(catalogue: Catalogue): FaultBook {
  let entries: { fault: Fault; matched: number; matches: Matcher; step: Stepper }[] = [];
  return {
    add(faults) {
      entries = [
        ...entries,
        ...faults.map((given) => {
          const fault = faultSchema.parse(given);
          return { fault: given, matched: 0, ...compile(fault, catalogue) };
        }),
      ];
    },
    clear() {
      entries = [];
    },
    list: () =>
      entries.map(({ fault, matched, step }) => ({
        fault,
        matched,
        spent: step(matched + 1).spent,
      })),
    take(request) {
      let taken: FaultAction | null = null;
      for (const entry of entries) {
        if (!entry.matches(request)) continue;
        entry.matched += 1;
        taken ??= entry.step(entry.matched).action;
      }
      return taken;
    },
  };
}

type Matcher = (request: FaultedRequest) => boolean;
/** The action for the matching request of this number, counted from 1. */
type Stepper = (number: number) => { action: FaultAction | null; spent: boolean };

function compile(
  fault: z.output<typeof faultSchema>,
  catalogue: Catalogue,
): { matches: Matcher; step: Stepper } {
  const { product, path, method, nth, times } = fault.match;
  const productId = product === undefined ? null : resolveProduct(product, catalogue);
  const server = fault.match.server ?? (productId === null ? null : 'download');
  const pattern = path === undefined ? null : new RegExp(path);
  const steps = fault.steps ?? [fault.action!];
  const limit = times === 'always' ? Infinity : times * steps.length;
  return {
    matches: (request) =>
      (productId === null || request.productId === productId) &&
      (server === null || request.server === server) &&
      (method === undefined || request.method === method.toUpperCase()) &&
      (pattern === null || pattern.test(request.path)),
    step: (number) => {
      const at = number - nth;
      const within = at >= 0 && at < limit;
      return { action: within ? steps[at % steps.length]! : null, spent: at >= limit };
    },
  };
}

function resolveProduct(product: string | number, catalogue: Catalogue): string {
  const found =
    typeof product === 'number'
      ? catalogue.products[product]
      : (catalogue.byId(product) ?? catalogue.byName(product));
  if (!found) throw new Error(`No product "${product}" in the catalogue`);
  return found.id;
}
