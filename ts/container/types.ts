/**
 * What the options of a `run()` say about the types of its streams and of its result.
 */
import type { Readable, Writable } from 'node:stream';

import type { BindMount, Limits, RunOptions, Security, TmpfsMount } from './options.js';
import type { RunResult } from './result.js';

/** The type of an option; undefined where it isn't there. */
type Chosen<Options, Name> = Options extends unknown
  ? Name extends keyof Options
    ? Options[Name]
    : undefined
  : never;

/** A collected output, whatever becomes of it. */
type Text<Lines, Encoding> = Lines extends true
  ? string[]
  : Encoding extends 'buffer'
    ? Uint8Array
    : string;

/** Only what comes through a pipe to us is ours to show. */
type Piped<Target, Shown> = Target extends 'pipe' | undefined ? Shown : undefined;

type Unless<Condition, Unwanted, Shown> = Condition extends Unwanted ? undefined : Shown;

/** Whether there is a terminal, where standard error has no stream of its own. */
type Terminal = true | object;

/** The type of `result.stdout`, `result.stderr` or `result.all`. */
export type OutputOf<Options, Name extends 'stdout' | 'stderr' | 'all'> = Unless<
  Chosen<Options, 'buffer'>,
  false,
  Name extends 'all'
    ? Chosen<Options, 'all'> extends infer All
      ? All extends true
        ? Text<Chosen<Options, 'lines'>, Chosen<Options, 'encoding'>>
        : undefined
      : never
    : Name extends 'stderr'
      ? Unless<Chosen<Options, 'tty'>, Terminal, PipedOutput<Options, Name>>
      : PipedOutput<Options, Name>
>;

type PipedOutput<Options, Name> = Piped<
  Chosen<Options, Name>,
  Text<Chosen<Options, 'lines'>, Chosen<Options, 'encoding'>>
>;

/** The result of a `run()` with these options. */
export type ResultOf<Options> = RunResult<
  OutputOf<Options, 'stdout'>,
  OutputOf<Options, 'stderr'>,
  OutputOf<Options, 'all'>
>;

/** The type of `process.stdin`. */
export type InputStreamOf<Options extends RunOptions> = Piped<Chosen<Options, 'stdin'>, Writable>;

/** The type of `process.stdout`, `process.stderr` or `process.all`. */
export type OutputStreamOf<
  Options extends RunOptions,
  Name extends 'stdout' | 'stderr' | 'all',
> = Name extends 'all'
  ? Chosen<Options, 'all'> extends infer All
    ? All extends true
      ? Readable
      : undefined
    : never
  : Name extends 'stderr'
    ? Unless<Chosen<Options, 'tty'>, Terminal, Piped<Chosen<Options, Name>, Readable>>
    : Piped<Chosen<Options, Name>, Readable>;

type KeysOf<Type> = Type extends unknown ? keyof Type : never;

/** Names that are computed are known at run time alone, and looked at there. */
type NoOthers<Given, Type> = string extends keyof Given
  ? unknown
  : { readonly [Name in Exclude<keyof Given, KeysOf<Type>>]?: never };

/**
 * Refuses names that no option has: inference takes them by itself, and a misspelt limit would be no
 * limit.
 */
export type Known<Options> = NoOthers<Options, RunOptions> &
  (Options extends { limits: infer Given } ? { limits: NoOthers<Given, Limits> } : unknown) &
  (Options extends { security: infer Given } ? { security: NoOthers<Given, Security> } : unknown) &
  (Options extends { mounts: infer Given }
    ? { mounts: { readonly [Target in keyof Given]: KnownMount<Given[Target]> } }
    : unknown);

type KnownMount<Given> = Given extends string ? unknown : NoOthers<Given, BindMount | TmpfsMount>;
