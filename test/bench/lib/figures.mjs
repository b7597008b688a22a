/** Measuring in turns, and how figures are shown: always minimum / median / maximum. */
import { execFileSync } from 'node:child_process';

/**
 * Each contestant once a round, the order turned round after each, on a disk that has nothing left to write.
 * @param contestants name → async (round) => result
 * @returns name → results by round
 */
export async function takeTurns(rounds, contestants) {
  const names = Object.keys(contestants);
  const results = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round++)
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      execFileSync('sync');
      results[name].push(await contestants[name](round));
    }
  return results;
}

/** How many times as fast one was as the other, round by round. */
export function timesAsFast(one, other) {
  return one.map(({ seconds }, round) => other[round].seconds / seconds);
}

export function median(values) {
  const sorted = [...values].sort((one, two) => one - two);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export function spread(values, digits) {
  return [Math.min(...values), median(values), Math.max(...values)]
    .map((value) => value.toFixed(digits))
    .join(' / ');
}

/** @param rows `[what, values, digits]` */
export function printSpreads(title, rows) {
  console.log(`\n## ${title}; minimum / median / maximum\n`);
  console.log('| what | figures |\n| --- | ---: |');
  for (const [what, values, digits] of rows) console.log(`| ${what} | ${spread(values, digits)} |`);
}
