/**
 * The manual page minictr(1), in the language of man(7), from the tables of options and commands.
 * `npm run docs` writes it.
 */
import type { Described } from './command.js';
import type { Option } from './option.js';

/** Text as it is: nothing in it is a request, an escape or a hyphen. */
function plain(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('…', '...')
    .replaceAll(/^(?=[.'])/gm, '\\&');
}

/** Columns of a line of the source. */
const COLUMNS = 70;

/** Text in lines that aren't too long. */
function wrapped(text: string): string {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1) ?? '';
    if (line === '') lines[lines.length - 1] = word;
    else if (line.length + word.length < COLUMNS) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines.join('\n');
}

/** The same, with what stands in backticks in bold. */
function prose(text: string): string {
  return plain(wrapped(text)).replaceAll(/`([^`]+)`/g, '\\fB$1\\fR');
}

/** A request with one argument, whatever is in it. */
function request(name: string, argument: string): string {
  return `.${name} "${plain(argument).replaceAll('"', '\\(dq')}"`;
}

/** Words in capitals stand for something. */
function usage(line: string): string {
  return plain(line)
    .replace(/^minictr( [a-z]+)?/, '\\fB$&\\fR')
    .replaceAll(/\b[A-Z]{2,}\b/g, '\\fI$&\\fR');
}

function option<Draft>({ name, alias, placeholder, help }: Option<Draft>): string {
  const long = `\\fB${plain(`--${name}`)}\\fR`;
  const value = placeholder === undefined ? '' : `=\\fI${plain(placeholder)}\\fR`;
  const short = alias === undefined ? '' : `\\fB${plain(`-${alias}`)}\\fR, `;
  return `.TP\n${short}${long}${value}\n${prose(`${help.charAt(0).toUpperCase()}${help.slice(1)}.`)}`;
}

function command({ usage: line, about, options, name }: Described): string {
  const lines = [request('SS', `minictr ${name}`), usage(line), '.PP', prose(about)];
  const groups = [...new Set(options.map(({ group }) => group))];
  for (const group of groups) {
    if (groups.length > 1) lines.push('.PP', `\\fI${plain(group)}\\fR`);
    lines.push(...options.filter((known) => known.group === group).map((known) => option(known)));
  }
  return lines.join('\n');
}

const EXIT_STATUS: ReadonlyArray<readonly [status: string, meaning: string]> = [
  ['125', 'minictr itself failed; standard error says why'],
  ['126', 'the program is there and can not be executed'],
  ['127', 'the program is not there'],
  ['128+N', 'signal N ended the program'],
];

const SEE_ALSO = ['capabilities(7)', 'cgroups(7)', 'namespaces(7)', 'seccomp(2)', 'subuid(5)'];

/** The page. */
export function manual(commands: readonly Described[]): string {
  const examples = commands.flatMap((one) => one.examples);
  const indented = (term: string, text: string): string => `.TP\n${term}\n${text}`;
  return `${[
    '.\\" Written by `npm run docs`; not to be edited.',
    '.TH MINICTR 1 "" minictr',
    '.SH NAME',
    'minictr \\- run programs in Linux containers, without a daemon and without root',
    '.SH SYNOPSIS',
    commands.map((one) => usage(one.usage)).join('\n.br\n'),
    '.SH DESCRIPTION',
    prose(
      '`minictr` copies programs into a root filesystem and runs them there, each in a container of ' +
        'its own: with its own users, processes, mounts, host name and network, and with limits where ' +
        'they are asked for.',
    ),
    '.SH COMMANDS',
    ...commands.map(command),
    '.SH EXIT STATUS',
    prose("`minictr run` ends with the program's own status, else with one of these:"),
    ...EXIT_STATUS.map(([status, meaning]) => indented(`\\fB${status}\\fR`, `${plain(meaning)}.`)),
    '.SH ENVIRONMENT',
    indented('\\fBNO_COLOR\\fR', 'Where it is set, messages have no colour on a terminal either.'),
    '.SH FILES',
    indented('\\fI./newroot\\fR', prose('The rootfs where `--rootfs` names no other.')),
    indented(
      '\\fI/etc/subuid\\fR, \\fI/etc/subgid\\fR',
      'Ranges of user and group ids that containers may have.',
    ),
    '.SH EXAMPLES',
    ...examples.map(([line, effect]) =>
      indented(
        `\\fB${plain(line)}\\fR`,
        prose(`${effect.charAt(0).toUpperCase()}${effect.slice(1)}.`),
      ),
    ),
    '.SH SEE ALSO',
    SEE_ALSO.map((page) => page.replace(/^(.*)(\(\d\))$/, '.BR $1 $2')).join(' ,\n'),
  ].join('\n')}\n`;
}
