import { describe, expect, it } from 'vitest';
import { ServiceError } from '../../../src/jobs/error-codes.js';
import { createGroupCommitter } from '../../../src/mirror/group-committer.js';

/** Commits wait until they are let through. */
function held(judge: (group: string[]) => Error | null = () => null) {
  const groups: string[][] = [];
  const waiting: (() => void)[] = [];
  const committer = createGroupCommitter<string>({
    async commit(group) {
      groups.push(group);
      await new Promise<void>((resolve) => waiting.push(resolve));
      const error = judge(group);
      if (error) throw error;
    },
    weigh: (item) => item.length,
    maxWeight: 4,
  });
  const release = async () => {
    await expect.poll(() => waiting.length, { interval: 1 }).toBeGreaterThan(0);
    waiting.shift()!();
  };
  return { committer, groups, release };
}

describe('group committer', () => {
  it('commits the first at once, and what came meanwhile together', async () => {
    const { committer, groups, release } = held();
    const all = Promise.all(['a', 'b', 'c'].map((item) => committer.submit(item)));
    expect(groups).toEqual([['a']]);
    await release();
    await release();
    await all;
    expect(groups).toEqual([['a'], ['b', 'c']]);
  });

  it('bounds a group by weight, but lets a heavy item through', async () => {
    const { committer, groups, release } = held();
    const items = ['a', 'bb', 'ccc', 'dddddddd', 'e'];
    const all = Promise.all(items.map((item) => committer.submit(item)));
    for (let index = 0; index < 4; index++) await release();
    await all;
    expect(groups).toEqual([['a'], ['bb', 'ccc'], ['dddddddd'], ['e']]);
  });

  it('fails a bad item alone', async () => {
    const bad = new Error('Bad');
    const { committer, groups, release } = held((group) => (group.includes('b') ? bad : null));
    const all = Promise.allSettled(['a', 'x', 'b', 'y'].map((item) => committer.submit(item)));
    for (let index = 0; index < 5; index++) await release();
    const outcomes = await all;
    expect(outcomes.map(({ status }) => status)).toEqual([
      'fulfilled',
      'fulfilled',
      'rejected',
      'fulfilled',
    ]);
    expect(groups).toEqual([['a'], ['x', 'b', 'y'], ['x'], ['b'], ['y']]);
  });

  it('fails everybody who waits when the store is unavailable, and starts anew after', async () => {
    let down = true;
    const { committer, groups, release } = held(() =>
      down ? new ServiceError('StoreUnavailable', 'Down') : null,
    );
    const all = Promise.allSettled(['a', 'b', 'c'].map((item) => committer.submit(item)));
    await release();
    expect((await all).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    expect(groups).toEqual([['a']]);
    down = false;
    const later = committer.submit('d');
    await release();
    await later;
    expect(groups).toEqual([['a'], ['d']]);
  });
});
