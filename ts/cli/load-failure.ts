/**
 * Reports that the library can't be loaded, as where there is no native part for this machine.
 *
 * `main.ts` imports this module first: the library fails while it is being imported, before any
 * other code of the command line could catch it.
 */
function report(error: unknown): void {
  process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 125;
}

process.once('uncaughtException', report);

/** The library is there: from here on failures are reported in the ordinary way. */
export function loaded(): void {
  process.removeListener('uncaughtException', report);
}
