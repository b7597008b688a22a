/**
 * Is a value that was read from disk of the shape that was written? For the few records of this library: starting it
 * costs no schema library, and a journal of many lines is read fast. Fields that nobody asked for are let through.
 */
export type Shape<T> = (value: unknown) => value is T;
export type Shaped<S> = S extends Shape<infer T> ? T : never;

export const isText = (value: unknown): value is string => typeof value === 'string';
export const isFlag = (value: unknown): value is boolean => typeof value === 'boolean';
export const isNumber = (value: unknown): value is number => Number.isFinite(value);
/** A whole number from 0 on that is exact. */
export const isOffset = (value: unknown): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0;
/** The same, from 1 on. */
export const isLength = (value: unknown): value is number => isOffset(value) && value > 0;

export const orNull =
  <T>(shape: Shape<T>): Shape<T | null> =>
  (value): value is T | null =>
    value === null || shape(value);

export const listOf =
  <T>(shape: Shape<T>): Shape<T[]> =>
  (value): value is T[] =>
    Array.isArray(value) && value.every(shape);

export const recordOf =
  <T>(shape: Shape<T>): Shape<Record<string, T>> =>
  (value): value is Record<string, T> =>
    isPlainObject(value) && Object.values(value).every(shape);

export const objectOf =
  <F extends Record<string, Shape<unknown>>>(fields: F): Shape<{ [K in keyof F]: Shaped<F[K]> }> =>
  (value): value is { [K in keyof F]: Shaped<F[K]> } =>
    isPlainObject(value) &&
    Object.entries(fields).every(
      ([name, shape]) => Object.hasOwn(value, name) && shape(value[name]),
    );

export const oneOf =
  <S extends Shape<unknown>[]>(...shapes: S): Shape<Shaped<S[number]>> =>
  (value): value is Shaped<S[number]> =>
    shapes.some((shape) => shape(value));

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
