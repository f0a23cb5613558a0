/**
 * Quantities as people write them.
 */
import { invalid } from '../errors.js';
import type { Size } from './options.js';

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
};

/** A whole number. */
export function whole(value: number, option: string): number {
  if (Number.isSafeInteger(value)) return value;
  throw invalid('use', `${option} ${value}: not a whole number`);
}

/** Bytes of a size such as `'512m'`, `'1.5g'`, `'64KiB'` or 1024. `-1` stays what it is. */
export function bytes(size: Size, option: string): number {
  if (typeof size === 'number') {
    if (Number.isSafeInteger(size) && size >= -1) return size;
    throw invalid('use', `${option} ${size}: not a whole number of bytes`);
  }
  const found = /^(-1|\d+(?:\.\d+)?)\s*([bkmgt]?)(?:i?b)?$/i.exec(size.trim());
  const unit = UNITS[found?.[2]?.toLowerCase() ?? ''];
  const value = found === null || unit === undefined ? NaN : Math.floor(Number(found[1]) * unit);
  if (Number.isSafeInteger(value)) return value;
  throw invalid(
    'use',
    `${option} \`${size}\`: not a size`,
    'a size is a number with b, k, m, g or t, such as 512m',
  );
}
