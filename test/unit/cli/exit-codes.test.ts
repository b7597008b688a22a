import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { EXIT, EXIT_MEANINGS, exitCodeOf } from '../../../src/cli/exit-codes.js';
import { ERROR_CODES, type ErrorCode } from '../../../src/jobs/error-codes.js';

describe('exit codes', () => {
  it('are all told in docs/cli.md, and no others', () => {
    const told = [...readFileSync('docs/cli.md', 'utf8').matchAll(/^\| (\d+) \|/gm)];
    expect(told.map(([, code]) => Number(code))).toEqual(EXIT_MEANINGS.map(([code]) => code));
    expect(EXIT_MEANINGS.map(([code]) => code).sort()).toEqual(Object.values(EXIT).sort());
  });

  it('follow from every error code, and an error never ends with 0', () => {
    for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) {
      expect(Object.values(EXIT)).toContain(exitCodeOf(code));
      expect(exitCodeOf(code)).not.toBe(EXIT.ok);
    }
  });
});
