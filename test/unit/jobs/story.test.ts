import { describe, expect, it } from 'vitest';
import { progressFigures, toJob } from '../../../src/jobs/job.js';
import { initialSnapshot } from '../../../src/jobs/snapshot.js';
import { Story } from '../../../src/jobs/story.js';
import { jobHeader } from '../../support/products.js';

const at = '2025-06-01T00:00:00.000Z';

describe('a story', () => {
  it('numbers events 1, 2, 3 and carries the number as the snapshot’s version', () => {
    const story = new Story('job', initialSnapshot(at));
    story.tell('job.queued', at, {}, {});
    story.tell('job.started', at, {}, { state: 'running' });
    expect(story.take(10).map(({ number, type }) => [number, type])).toEqual([
      [1, 'job.queued'],
      [2, 'job.started'],
    ]);
    expect(story.snapshot).toMatchObject({ version: 2, state: 'running' });
    expect(story.hasUntold).toBe(false);
  });

  it('goes on counting where an earlier run ended', () => {
    const story = new Story('job', { ...initialSnapshot(at), version: 41 });
    story.tell('job.succeeded', at, {}, { state: 'succeeded' });
    expect(story.take(1)[0]!.number).toBe(42);
  });
});

describe('taking events to be recorded', () => {
  it('stops before too many characters, but always takes one', () => {
    const story = new Story('job', initialSnapshot(at));
    for (const size of [10, 5_000, 10, 10])
      story.tell('product.completed', at, { text: 'x'.repeat(size) }, {});
    const taken: number[][] = [];
    while (story.hasUntold) taken.push(story.take(80, 1_000).map(({ number }) => number));
    expect(taken).toEqual([[1], [2], [3, 4]]);
  });
});

describe('progress', () => {
  const running = {
    ...initialSnapshot(at),
    state: 'running' as const,
    bytes_total: 200,
    bytes_done: 50,
    in_flight: ['a'],
  };
  const live = (productId: string, bytes: number) => ({
    product_id: productId,
    bytes,
    bytes_total: 100,
    speed_bytes_per_second: 25,
    at,
  });

  it('adds what is in flight to what is done, and leaves stale products out', () => {
    expect(progressFigures(running, [live('a', 50), live('gone', 99)], Date.parse(at))).toEqual({
      progress: 50,
      bytes_downloaded: 100,
      bytes_total: 200,
      speed_bytes_per_second: 25,
      eta_seconds: 4,
    });
  });

  it('D17 without announced sizes, tells the total once every transfer knows its own', () => {
    const selective = { ...running, bytes_total: null, products_total: 3, products_failed: 1 };
    const done = { ...selective, products_done: 1, bytes_done: 40, in_flight: ['a'] };
    const unknown = { ...live('a', 30), bytes_total: null };
    const known = { ...live('a', 30), bytes_total: 60 };
    expect(progressFigures(done, [unknown], 0)).toMatchObject({ bytes_total: null, progress: 66 });
    expect(progressFigures(done, [known], 0)).toMatchObject({
      bytes_total: 100,
      bytes_downloaded: 70,
      progress: 83,
    });
    const ended = { ...done, products_done: 2, bytes_done: 100, in_flight: [] };
    expect(progressFigures({ ...ended, state: 'succeeded' }, [], 0)).toMatchObject({
      bytes_total: 100,
      progress: 100,
    });
  });

  it('says 100 only once everything is verified', () => {
    const nearly = { ...running, bytes_done: 200, in_flight: [] };
    expect(progressFigures(nearly, [], 0).progress).toBe(99);
    expect(progressFigures({ ...nearly, state: 'succeeded' }, [], 0).progress).toBe(100);
  });

  it('does not sum the speed of a transfer that has fallen silent', () => {
    expect(
      progressFigures(running, [live('a', 50)], Date.parse(at) + 60_000).speed_bytes_per_second,
    ).toBe(0);
  });

  it('shows the duration until now while running and until the end afterwards', () => {
    const record = { header: jobHeader('j'), snapshot: { ...running, started_at: at }, live: [] };
    expect(toJob(record, 'http://ui', Date.parse(at) + 2500).duration_seconds).toBe(2.5);
    const ended = {
      ...record,
      snapshot: { ...record.snapshot, finished_at: '2025-06-01T00:00:07.000Z' },
    };
    expect(toJob(ended, 'http://ui', Date.parse(at) + 99_000).duration_seconds).toBe(7);
  });
});
