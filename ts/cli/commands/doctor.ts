/** `minictr doctor`: what this machine offers to containers. */
import { styleText } from 'node:util';

import { apparmorProfile, type Check, type Diagnosis, doctor, MinictrError } from '../../index.js';
import { takeAllOptions, wantsJson } from '../arguments.js';
import type { Command } from '../command.js';
import { flag, readOptions } from '../option.js';

interface DoctorDraft {
  json: boolean;
  apparmorProfile: boolean;
}

const OPTIONS = 'Options';

export const doctorCommand: Command<DoctorDraft> = {
  name: 'doctor',
  usage: 'minictr doctor [OPTION...]',
  summary: 'say what this machine offers to containers',
  about:
    'Starts a container with each thing that containers can have, and says what is there, what that ' +
    'means, and what would bring what is missing. It leaves nothing behind. The exit code is 0 where ' +
    'containers can run, 1 where they can not.',
  operands: { placeholder: 'nothing', words: [], paths: undefined },
  options: [
    flag({
      name: 'json',
      group: OPTIONS,
      help: 'write what was found as JSON',
      apply: (draft, on) => (draft.json = on),
    }),
    flag({
      name: 'apparmor-profile',
      group: OPTIONS,
      help: 'write the profile that Ubuntu needs instead',
      apply: (draft, on) => (draft.apparmorProfile = on),
    }),
  ],
  examples: [
    ['minictr doctor', 'what is there, and what to do about the rest'],
    [
      'minictr doctor --apparmor-profile | sudo tee /etc/apparmor.d/minictr',
      'let minictr make user namespaces on Ubuntu, with `sudo apparmor_parser -r` of that file after it',
    ],
  ],
};

/** Looks at the machine; resolves to `'help'` where that is what was asked for. */
export async function runDoctor(
  words: readonly string[],
  useJson: (json: boolean) => void,
): Promise<'help' | undefined> {
  useJson(wantsJson(words));
  const { options, rest, help } = takeAllOptions(words, doctorCommand.options);
  if (help) return 'help';
  const draft: DoctorDraft = { json: false, apparmorProfile: false };
  readOptions(options, doctorCommand.options, draft);
  if (rest[0] !== undefined) {
    throw new MinictrError({
      code: 'INVALID_ARGUMENT',
      operation: 'examine',
      object: `\`${rest[0]}\`: it is this machine that is looked at`,
      hint: `usage: \`${doctorCommand.usage}\``,
    });
  }
  if (draft.apparmorProfile) {
    process.stdout.write(apparmorProfile());
    return undefined;
  }
  const diagnosis = await doctor();
  process.stdout.write(draft.json ? `${JSON.stringify(diagnosis)}\n` : report(diagnosis));
  process.exitCode = diagnosis.canRun ? 0 : 1;
  return undefined;
}

const STYLES = { ok: 'green', limited: 'yellow', missing: 'red' } as const;

function report({ canRun, kernel, checks }: Diagnosis): string {
  const colour = process.stdout.isTTY && !process.env['NO_COLOR'];
  const lines = checks.flatMap((check) => linesOf(check, Boolean(colour)));
  const whole = canRun ? 'containers can run here' : 'no container can run here';
  return [...lines, `${whole} (Linux ${kernel})`].map((line) => `${line}\n`).join('');
}

/** What was found; where something is missing, how that shows and what to do stand below it. */
function linesOf({ name, status, means, error, fix }: Check, colour: boolean): string[] {
  const word = status.padEnd('missing'.length);
  const label = colour ? styleText(['bold', STYLES[status]], word) : word;
  const below = (text: string): string => `${' '.repeat('missing'.length)}  ${text}`;
  return [
    `${label}  ${name}: ${means}`,
    ...(error === undefined ? [] : [below(`error: ${error}`)]),
    ...(fix === undefined ? [] : [below(`fix: ${fix}`)]),
  ];
}
