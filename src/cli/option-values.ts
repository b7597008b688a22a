/** Values of options, checked where they are read. */
import { InvalidArgumentError } from 'commander';

export function toNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < 0)
    throw new InvalidArgumentError('Not a positive number.');
  return value;
}

export function toPort(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new InvalidArgumentError('Not a port (1 to 65535, or 0 for any free one).');
  return port;
}

export function toAddress(text: string): string {
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol))
    throw new InvalidArgumentError('Not an http(s) address.');
  return text.replace(/\/+$/, '');
}

/** A whole number from 1 to `max`. */
export const toCount =
  (max: number) =>
  (text: string): number => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < 1 || value > max)
      throw new InvalidArgumentError(`Not a whole number from 1 to ${max}.`);
    return value;
  };
