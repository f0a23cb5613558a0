// A reporter for `node --test` that says nothing while tests run and at the end writes one line of
// JSON: how many tests passed, failed and were skipped. Groups (`describe`) are not tests.
export default async function* totals(source) {
  const totals = { passed: 0, failed: 0, skipped: 0 };
  for await (const { type, data } of source) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    if (data.details?.type === 'suite') continue;
    // A failure that is only its sub-tests' is counted there.
    if (type === 'test:fail' && data.details?.error?.failureType === 'subtestsFailed') continue;
    if (data.skip !== undefined || data.todo !== undefined) totals.skipped += 1;
    else totals[type === 'test:pass' ? 'passed' : 'failed'] += 1;
  }
  yield `${JSON.stringify(totals)}\n`;
}
