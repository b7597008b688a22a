import { describe, expect, it } from 'vitest';
import { toApplicationFailure } from '../../../activities/failures.js';
import { ERROR_CODES, ServiceError, type ErrorCode } from '../../../src/jobs/error-codes.js';
import { problemSchema } from '../../../src/jobs/problem-schema.js';
import { problemType, toProblem } from '../../../src/jobs/problem.js';

const codes = Object.keys(ERROR_CODES) as ErrorCode[];

describe('the table of error codes', () => {
  it.each(codes)('%s becomes a problem and a Temporal failure', (code) => {
    const error = new ServiceError(code, 'what happened');
    const problem = problemSchema.parse(toProblem(error));
    expect(problem).toMatchObject({
      code,
      status: ERROR_CODES[code].status,
      detail: 'what happened',
      type: problemType(code),
    });
    const failure = toApplicationFailure(error);
    expect(failure.type).toBe(code);
    expect(failure.nonRetryable).toBe(ERROR_CODES[code].kind === 'permanent');
    expect(failure.details?.[0]).toMatchObject({ problem: { code } });
  });

  it('gives each code its own kebab-case type', () => {
    expect(problemType('ChecksumMismatch')).toBe('/problems/checksum-mismatch');
    expect(new Set(codes.map(problemType)).size).toBe(codes.length);
  });

  it('keeps the text of an unforeseen error out of the problem', () => {
    expect(toProblem(new Error('password=hunter2')).detail).not.toContain('hunter2');
  });

  it('hands on how long a provider asked to wait, at most an hour', () => {
    const failure = toApplicationFailure(
      new ServiceError('SourceThrottled', 'slow down', { retryAfterMs: 10 ** 12 }),
    );
    expect(failure.details?.[0]).toMatchObject({ retryAfterMs: 3_600_000 });
  });
});
