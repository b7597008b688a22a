/** A job's result for people: every file with its size, digest and how strongly it was verified. */
import type { JobResult } from '../../jobs/result.js';
import type { Paint } from './paint.js';
import { bytes, plain } from './text.js';

const levelWords = {
  provider: "verified by the provider's digest",
  manifest: 'verified by the digests inside the product',
  structure: 'verified by archive structure and CRCs',
  length: 'verified by length only',
  none: 'not verified',
} as const;

export function resultLines(result: JobResult, paint: Paint): string[] {
  const lines = result.products.flatMap((product) => [
    `${mark(product.outcome, paint)} ${plain(product.name)}  ${bytes(product.bytes)}${product.outcome === 'reused' ? '  (already held)' : ''}`,
    ...product.paths.flatMap((path) => fileLines(path, result.checksums[path])),
    ...(product.error
      ? [`    ${plain(product.error.detail)}`, `    ${plain(product.error.hint ?? '')}`.trimEnd()]
      : []),
  ]);
  return [...lines.filter((line) => line.trim() !== ''), summary(result)];
}

function mark(outcome: JobResult['products'][number]['outcome'], paint: Paint): string {
  return outcome === 'completed' || outcome === 'reused' ? paint.green('✓') : paint.red('✗');
}

function fileLines(path: string, checksum: JobResult['checksums'][string] | undefined): string[] {
  if (!checksum) return [`    ${plain(path)}`];
  return [
    `    ${plain(path)}`,
    `    ${checksum.algorithm} ${checksum.value}  ${levelWords[checksum.level]}`,
  ];
}

function summary({ products, bytes: total }: JobResult): string {
  const count = (...outcomes: string[]): number =>
    products.filter(({ outcome }) => outcomes.includes(outcome)).length;
  const parts = [
    `${count('completed')} fetched`,
    `${count('reused')} already held`,
    `${count('failed')} failed`,
    ...(count('cancelled') > 0 ? [`${count('cancelled')} cancelled`] : []),
  ];
  return `${products.length} products (${parts.join(', ')}), ${bytes(total)}`;
}
