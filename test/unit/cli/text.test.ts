import { describe, expect, it } from 'vitest';
import { bytes, plain, seconds, shorten, table } from '../../../src/cli/output/text.js';

describe('plain', () => {
  it('F140 shows control characters instead of sending them to the terminal', () => {
    expect(plain('S2A\u001b[2J\r\nforged\u202e line\u0007')).toBe(
      'S2A\\u001b[2J\\u000d\\u000aforged\\u202e line\\u0007',
    );
  });

  it('leaves names of every script as they are', () => {
    expect(plain('S2A_MSIL2A – Ж 衛星 é')).toBe('S2A_MSIL2A – Ж 衛星 é');
  });
});

describe('figures', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.0 kB'],
    [999_949, '1.0 MB'],
    [123_456_789, '123 MB'],
    [1_500_000_000, '1.5 GB'],
  ])('tells %d bytes as %s', (size, text) => expect(bytes(size)).toBe(text));

  it.each([
    [400, '0.4 s'],
    [12_300, '12 s'],
    [185_000, '3 min 05 s'],
    [7_800_000, '2 h 10 min'],
  ])('tells %d ms as %s', (durationMs, text) => expect(seconds(durationMs)).toBe(text));

  it('shortens in the middle and pads columns', () => {
    expect(shorten('abcdefghij', 5)).toBe('ab…ij');
    expect(
      table([
        ['a', 'long'],
        ['wide', 'b'],
      ]),
    ).toBe('a     long\nwide  b');
  });
});
