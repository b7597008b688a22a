import { describe, expect, it } from 'vitest';
import { toAddress } from '../../../src/cli/option-values.js';

describe('toAddress', () => {
  it('takes http and https, without a slash at the end', () => {
    expect(toAddress('http://127.0.0.1:8000/')).toBe('http://127.0.0.1:8000');
    expect(toAddress('https://nimbus.example.org')).toBe('https://nimbus.example.org');
  });

  it.each(['foo', 'localhost:8000', 'ftp://example.org', ''])('refuses %j', (text) => {
    expect(() => toAddress(text)).toThrow('Not an http(s) address.');
  });
});
