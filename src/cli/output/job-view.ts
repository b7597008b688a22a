/**
 * A job's story as it happens: bars that move at the foot of a terminal, plain lines elsewhere, NDJSON for scripts.
 * Pure but for the stream it writes to; every text from outside is made plain first.
 */
import { z } from 'zod';
import type { Told } from '../client/follow-job.js';
import { bar } from './bar.js';
import type { NotesStream } from './notes.js';
import type { Paint } from './paint.js';
import { bytes, plain, seconds, shorten } from './text.js';

export interface JobView {
  told(told: Told): void;
  /** Takes the bars away. Nothing may be told afterwards. */
  end(): void;
}

/** One JSON object a line: `{"kind":"event",…}`, `{"kind":"progress",…}`, `{"kind":"connection",…}`. */
export function createNdjsonView(stream: NotesStream): JobView {
  return { told: (told) => void stream.write(`${JSON.stringify(told)}\n`), end: () => {} };
}

const progressSchema = z.object({
  progress: z.number(),
  bytes_downloaded: z.number(),
  bytes_total: z.number().nullable(),
  speed_bytes_per_second: z.number(),
  eta_seconds: z.number().nullable(),
});
type Figures = z.infer<typeof progressSchema>;

interface State {
  figures: Figures | null;
  total: number | null;
  done: number;
  failed: number;
  /** Name and announced size of each product being fetched, by id. */
  fetching: Map<string, { name: string; sizeBytes: number | null }>;
  waiting: string | null;
}

/** A bar gives way to the figures where the terminal is narrow. */
const barWidth = (columns: number): number => (columns < 100 ? 20 : 30);
const SHOWN_PRODUCTS = 6;
const REDRAW_MS = 100;
/** Plain progress lines: this far apart, in time and in percent. */
const PLAIN_MS = 2_000;

export function createJobView(
  stream: NotesStream & { columns?: number },
  paint: Paint,
  now: () => number = Date.now,
): JobView {
  const live = stream.isTTY === true;
  const state: State = {
    figures: null,
    total: null,
    done: 0,
    failed: 0,
    fetching: new Map(),
    waiting: null,
  };
  let drawn = 0;
  let lastDrawMs = 0;
  let lastSaid = { atMs: -Infinity, percent: -1 };

  const erase = (): void => {
    if (drawn > 0) stream.write(`\u001b[${drawn}A\u001b[J`);
    drawn = 0;
  };
  const draw = (): void => {
    erase();
    const lines = foot(state, paint, stream.columns || 80);
    stream.write(lines.map((line) => `${line}\n`).join(''));
    drawn = lines.length;
    lastDrawMs = now();
  };
  const say = (line: string): void => {
    if (live) erase();
    stream.write(`${line}\n`);
  };
  const sayProgress = (figures: Figures): void => {
    if (now() - lastSaid.atMs < PLAIN_MS || figures.progress === lastSaid.percent) return;
    lastSaid = { atMs: now(), percent: figures.progress };
    stream.write(`  ${figuresLine(figures, state.total, state.done)}\n`);
  };

  return {
    told(told) {
      if (told.kind === 'progress') {
        const figures = progressSchema.safeParse(told.data);
        if (!figures.success) return;
        state.figures = figures.data;
        if (!live) sayProgress(figures.data);
        else if (now() - lastDrawMs >= REDRAW_MS) draw();
        return;
      }
      const line = lineFor(told, state, paint);
      if (line !== null) say(line);
      if (live) draw();
    },
    end() {
      if (live) erase();
    },
  };
}

const text = (value: unknown): string => plain(typeof value === 'string' ? value : '');
const number = (value: unknown): number => (typeof value === 'number' ? value : 0);

/** Applies what was told to the state, and says the line for it; null for what the bars show anyway. */
function lineFor(told: Exclude<Told, { kind: 'progress' }>, state: State, paint: Paint) {
  if (told.kind === 'connection')
    return paint.yellow(
      told.up ? '  connected again' : '  connection to the API lost: trying again, the job goes on',
    );
  const { type, data } = told;
  const id = text(data['product_id']);
  const name = text(data['name']);
  const size = typeof data['bytes'] === 'number' ? data['bytes'] : null;
  switch (type) {
    case 'search.completed':
      state.total = number(data['products']);
      return `  found ${state.total} products${sizeNote(data['bytes_total'])}${limitNote(data)}`;
    case 'product.started':
      state.fetching.set(id, { name, sizeBytes: size });
      return null;
    case 'product.completed':
    case 'product.reused':
      state.fetching.delete(id);
      state.done += 1;
      state.waiting = null;
      return `  ${paint.green('✓')} ${name}  ${bytes(size ?? 0)}${filesNote(data['selection'])}${type === 'product.reused' ? '  already held, verified again' : ''}`;
    case 'product.failed':
      state.fetching.delete(id);
      state.failed += 1;
      return `  ${paint.red('✗')} ${name}  ${problemText(data['error'])}`;
    case 'job.waiting':
      state.waiting = text((data['waiting'] as { detail?: unknown } | undefined)?.detail);
      return paint.yellow(`  waiting: ${state.waiting || text(data['reason'])}`);
    case 'transfer.retried':
    case 'transfer.resumed':
      return paint.dim(
        `  ${type === 'transfer.retried' ? 'trying again' : 'resumed'}: ${name || id} ${text(data['reason'])}`.trimEnd(),
      );
    case 'job.queued':
    case 'job.started':
      return null;
    default:
      return `  ${type.replace('job.', 'job ')}${limitNote(data)}${data['error'] ? `: ${problemText(data['error'])}` : ''}`;
  }
}

const sizeNote = (value: unknown): string => (typeof value === 'number' ? `, ${bytes(value)}` : '');

function filesNote(value: unknown): string {
  const { files, of } = (value ?? {}) as { files?: unknown; of?: unknown };
  return typeof files === 'number' ? ` in ${files} of ${number(of)} files` : '';
}

/** Which limit of the request was reached, and how many products it left out. */
function limitNote(data: Record<string, unknown>): string {
  const limit = text(data['limited_by']);
  if (limit === '') return '';
  const left = number(data['left_out']);
  return `, limited by ${limit}${left > 0 ? `: ${left} left out` : ''}`;
}

function problemText(value: unknown): string {
  const { title, detail } = (value ?? {}) as { title?: unknown; detail?: unknown };
  return [text(title), text(detail)].filter(Boolean).join(': ');
}

/** As many of the figures as the width has room for, the most telling first; none is cut. */
function figuresLine(figures: Figures, total: State['total'], done: number, width = Infinity) {
  const of = figures.bytes_total === null ? '' : ` of ${bytes(figures.bytes_total)}`;
  const parts = [
    `${String(figures.progress).padStart(3)} %  ${bytes(figures.bytes_downloaded)}${of}`,
    `${bytes(figures.speed_bytes_per_second)}/s`,
    ...(figures.eta_seconds === null ? [] : [`${seconds(figures.eta_seconds * 1000)} left`]),
    ...(total === null ? [] : [`${done} of ${total} products`]),
  ];
  while (parts.length > 1 && parts.join(', ').length > width) parts.pop();
  return shorten(parts.join(', '), width);
}

function foot(state: State, paint: Paint, columns: number): string[] {
  const { figures } = state;
  const cells = barWidth(columns);
  const width = Math.max(10, columns - cells - 6);
  const fetching = [...state.fetching.values()];
  const shown = fetching.slice(0, SHOWN_PRODUCTS).map(({ name, sizeBytes }) => {
    const size = sizeBytes === null ? '' : `  ${bytes(sizeBytes)}`;
    return paint.dim(`  ↓ ${shorten(name, Math.max(20, columns - 6 - size.length))}${size}`);
  });
  const more = fetching.length - shown.length;
  if (more > 0) shown.push(paint.dim(`  ↓ and ${more} more`));
  const share = (figures?.progress ?? 0) / 100;
  const productShare = state.total ? (state.done + state.failed) / state.total : 0;
  const productsLine = `${String(state.done + state.failed).padStart(3)} of ${state.total ?? '?'} products`;
  return [
    ...shown,
    `  ${bar(productShare, cells, paint)} ${shorten(productsLine, width)}`,
    `  ${bar(share, cells, paint)} ${figures ? figuresLine(figures, null, 0, width) : shorten('searching', width)}`,
  ];
}
