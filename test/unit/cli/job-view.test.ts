import { describe, expect, it } from 'vitest';
import type { Told } from '../../../src/cli/client/follow-job.js';
import { createJobView, createNdjsonView } from '../../../src/cli/output/job-view.js';
import { createPaint, wantsColour } from '../../../src/cli/output/paint.js';

const ESCAPE = '\u001b';
let number = 0;
const event = (type: string, data: Record<string, unknown>): Told => ({
  ...{ kind: 'event', number: (number += 1), at: '2025-01-01T00:00:00Z' },
  type,
  data,
});
const progress = (percent: number): Told => ({
  kind: 'progress',
  data: {
    ...{ progress: percent, bytes_downloaded: percent * 1e6, bytes_total: 1e8 },
    ...{ speed_bytes_per_second: 5e6, eta_seconds: 4 },
  },
});
const story: Told[] = [
  event('search.completed', { products: 2, bytes_total: 1e8 }),
  event('product.started', { product_id: 'a', name: 'A.SAFE', bytes: 5e7 }),
  progress(25),
  event('product.completed', { product_id: 'a', name: 'A.SAFE', bytes: 5e7 }),
  event('product.failed', {
    product_id: 'b',
    name: `B${ESCAPE}[2J.SAFE`,
    error: { title: 'Product is offline', detail: 'on tape\r\nforged line' },
  }),
];

function show(told: Told[], isTTY: boolean): string {
  let out = '';
  let nowMs = 0;
  const stream = { isTTY, columns: 80, write: (text: string) => (out += text) };
  const view = createJobView(stream, createPaint(false), () => (nowMs += 5_000));
  told.forEach((one) => view.told(one));
  view.end();
  return out;
}

describe('createJobView', () => {
  it('writes plain lines where there is no terminal', () => {
    expect(show(story, false).split('\n')).toEqual([
      '  found 2 products, 100 MB',
      '   25 %  25.0 MB of 100 MB, 5.0 MB/s, 4.0 s left, 0 of 2 products',
      '  ✓ A.SAFE  50.0 MB',
      '  ✗ B\\u001b[2J.SAFE  Product is offline: on tape\\u000d\\u000aforged line',
      '',
    ]);
  });

  it('F140 sends no escape sequence of a name to a terminal, and takes its bars away at the end', () => {
    const out = show(story, true);
    expect(out).not.toContain(`B${ESCAPE}`);
    expect(out).toContain('█');
    expect(out.endsWith(`${ESCAPE}[J`)).toBe(true);
    const moves = [...out.matchAll(/\[(\d+)A/g)].map(([, rows]) => Number(rows));
    expect(moves.every((rows) => rows >= 2 && rows <= 3)).toBe(true);
  });

  it('draws no line wider than the terminal', () => {
    const told = event('product.started', { product_id: 'c', name: 'N'.repeat(300), bytes: 1 });
    const lines = show([told, progress(50)], true)
      .split(new RegExp(`\n|${ESCAPE}\\[\\d*[AJ]`))
      .map((line) => line.length);
    expect(Math.max(...lines)).toBeLessThanOrEqual(80);
  });
});

describe('figures at the foot', () => {
  const far: Told = {
    kind: 'progress',
    data: {
      ...{ progress: 41, bytes_downloaded: 1.3e11, bytes_total: 3.1e11 },
      ...{ speed_bytes_per_second: 1.93e7, eta_seconds: 9500 },
    },
  };

  it.each([
    [80, ' 41 %  130 GB of 310 GB, 19.3 MB/s, 2 h 38 min left'],
    [undefined, ' 41 %  130 GB of 310 GB, 19.3 MB/s, 2 h 38 min left'],
    [60, ' 41 %  130 GB of 310 GB, 19.3 MB/s'],
    [50, ' 41 %  130 GB of 310 GB'],
  ])('are whole on %s columns, and fewer where there is no room', (columns, expected) => {
    let out = '';
    const stream = { isTTY: true, write: (text: string) => (out += text) };
    const view = createJobView(columns ? { ...stream, columns } : stream, createPaint(false));
    view.told(far);
    expect(out.split('\n').at(-2)).toMatch(new RegExp(`▏ ${expected}$`));
    expect(out.split('\n').at(-2)!.length).toBeLessThanOrEqual(columns ?? 80);
  });
});

describe('createNdjsonView', () => {
  it('writes one JSON object a line', () => {
    let out = '';
    const view = createNdjsonView({ write: (text: string) => (out += text) });
    story.forEach((told) => view.told(told));
    view.end();
    expect(
      out
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual(story);
  });
});

describe('wantsColour', () => {
  it('is for terminals only, and not with NO_COLOR', () => {
    const terminal = { write: () => {}, isTTY: true };
    expect(wantsColour(terminal, {})).toBe(true);
    expect(wantsColour(terminal, { NO_COLOR: '1' })).toBe(false);
    expect(wantsColour(terminal, { TERM: 'dumb' })).toBe(false);
    expect(wantsColour({ write: () => {} }, {})).toBe(false);
  });
});
