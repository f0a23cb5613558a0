/** Medians and spreads. */
const quantile = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];

/** Of some numbers. */
export function summary(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b);
  return {
    median: quantile(sorted, 0.5),
    p10: quantile(sorted, 0.1),
    p90: quantile(sorted, 0.9),
    samples: sorted.length,
  };
}

/** Nanoseconds as milliseconds, for a table. */
export const ms = (ns) => (ns / 1e6).toFixed(2);
