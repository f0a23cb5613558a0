// A reporter for `node --test` that says nothing while tests run and at the end writes one line of
// JSON: how many tests passed, failed and were skipped, and of what failed the name and the reason.
// Groups (`describe`) are not tests.
import { inspect } from 'node:util';

/** How much of a reason is told again at the end of everything. */
const LINES_OF_REASON = 40;

function reason(error) {
  const text = inspect(error?.cause ?? error, { colors: false, maxStringLength: 4000 });
  return text.split('\n').slice(0, LINES_OF_REASON).join('\n');
}

export default async function* totals(source) {
  const totals = { passed: 0, failed: 0, skipped: 0, failures: [] };
  for await (const { type, data } of source) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    if (data.details?.type === 'suite') continue;
    // A failure that is only its sub-tests' is counted there.
    if (type === 'test:fail' && data.details?.error?.failureType === 'subtestsFailed') continue;
    if (data.skip !== undefined || data.todo !== undefined) totals.skipped += 1;
    else if (type === 'test:pass') totals.passed += 1;
    else {
      totals.failed += 1;
      totals.failures.push({ name: data.name, reason: reason(data.details?.error) });
    }
  }
  yield `${JSON.stringify(totals)}\n`;
}
