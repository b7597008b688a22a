import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isSelective, patternFault, selectPaths } from '../../../src/jobs/asset-patterns.js';

const B04 = 'GRANULE/L2A_T29SPC/IMG_DATA/R10m/T29SPC_20250101T110431_B04_10m.jp2';
const B04_20 = 'GRANULE/L2A_T29SPC/IMG_DATA/R20m/T29SPC_20250101T110431_B04_20m.jp2';
const B08 = 'GRANULE/L2A_T29SPC/IMG_DATA/R10m/T29SPC_20250101T110431_B08_10m.jp2';
const MTD = 'MTD_MSIL2A.xml';
const TL = 'GRANULE/L2A_T29SPC/MTD_TL.xml';
const paths = ['manifest.safe', MTD, TL, B04, B04_20, B08];

const matched = (...include: string[]) => selectPaths({ include, exclude: [] }, paths);

describe('D17 patterns for files of a product', () => {
  it.each([
    ['*_B04_10m.jp2', [B04]],
    ['*_B04_*', [B04, B04_20]],
    ['*_B0?_10m.jp2', [B04, B08]],
    ['*_B0[48]_10m.jp2', [B04, B08]],
    ['*_B0[5-9]_10m.jp2', [B08]],
    ['*_B0[!4]_*', [B08]],
    ['MTD_*.xml', [MTD, TL]],
    ['**/MTD_*.xml', [MTD, TL]],
    ['GRANULE/*/MTD_*.xml', [TL]],
    ['GRANULE/**/R10m/*', [B04, B08]],
    ['GRANULE/**', [TL, B04, B04_20, B08]],
    ['**/*.jp2', [B04, B04_20, B08]],
    ['**', paths],
    ['*', paths],
    ['GRANULE/*.xml', []],
    ['*_b04_10m.jp2', []],
    ['GRANULE', []],
    ['_B04_', []],
    ['**/IMG_DATA/**/*_B08_10m.jp2', [B08]],
  ])('%s', (pattern, expected) => {
    expect(patternFault(pattern)).toBeNull();
    expect(matched(pattern)).toEqual(expected);
  });

  it('include adds up, exclude wins, and exclude alone takes from everything', () => {
    expect(matched('manifest.safe', '*_B08_*')).toEqual(['manifest.safe', B08]);
    expect(selectPaths({ include: ['*.jp2'], exclude: ['**/R20m/**'] }, paths)).toEqual([B04, B08]);
    expect(selectPaths({ include: [], exclude: ['GRANULE/**'] }, paths)).toEqual([
      'manifest.safe',
      MTD,
    ]);
  });

  it('without any pattern nothing is selected from', () => {
    expect(isSelective(undefined)).toBe(false);
    expect(isSelective({ include: [], exclude: [] })).toBe(false);
    expect(isSelective({ include: [], exclude: ['*.xml'] })).toBe(true);
  });

  it.each([
    ['/GRANULE/*', /relative/],
    ['GRANULE/', /GRANULE\/\*\*/],
    ['a//b', /two slashes/],
    ['../x', /lead nowhere/],
    ['a/./b', /lead nowhere/],
    ['GRANULE\\*', /backslash/],
    ['*_{B04,B08}_*', /each alternative/],
    ['*_B0[48_10m.jp2', /does not end/],
    ['*_B0[]_10m.jp2', /does not end|empty/],
    ['[9-2]', /backwards/],
    ['R10m**', /whole folders/],
    ['a\u0000b', /control/],
    ['', /Empty/],
  ])('refuses %j and says why', (pattern, why) => {
    expect(patternFault(pattern)).toMatch(why);
  });

  it('signs of regular expressions are nothing but themselves', () => {
    const odd = 'a+b(c)|d.x$^';
    expect(selectPaths({ include: [odd], exclude: [] }, [odd, 'aab(c)|dzx$^', 'd.x'])).toEqual([
      odd,
    ]);
  });

  it('agrees with a slow matcher on any pattern and name', () => {
    const slow = (pattern: string, name: string): boolean => {
      if (pattern === '') return name === '';
      if (pattern[0] === '*')
        return slow(pattern.slice(1), name) || (name !== '' && slow(pattern, name.slice(1)));
      return (
        name !== '' &&
        (pattern[0] === '?' || pattern[0] === name[0]) &&
        slow(pattern.slice(1), name.slice(1))
      );
    };
    const text = (signs: string) =>
      fc
        .array(fc.constantFrom(...signs), { minLength: 1, maxLength: 9 })
        .map((all) => all.join(''));
    fc.assert(
      fc.property(text('ab*?'), text('ab'), (pattern, name) => {
        fc.pre(!pattern.includes('**'));
        expect(selectPaths({ include: [pattern], exclude: [] }, [name]).length === 1).toBe(
          slow(pattern, name),
        );
      }),
      { numRuns: 2_000 },
    );
  });

  it('no pattern takes long, however it is made', () => {
    const name = 'a'.repeat(250);
    const include = [`${'*a'.repeat(99)}b`, `${'a*'.repeat(99)}b`, `**/${'*?'.repeat(90)}b`];
    const startedMs = performance.now();
    expect(selectPaths({ include, exclude: [] }, Array<string>(500).fill(name))).toEqual([]);
    expect(performance.now() - startedMs).toBeLessThan(5_000);
  });
});
