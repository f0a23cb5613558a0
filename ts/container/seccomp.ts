/**
 * Seccomp profiles as docker writes them: rules that hold on some machines or for some capabilities
 * only. What holds here is left over, in the form of the OCI runtime spec.
 *
 * Source: moby's `profiles/seccomp/seccomp_linux.go`, whose conditions these are.
 */
import { release } from 'node:os';

import { invalid } from '../errors.js';
import type { SeccompCondition, SeccompProfile } from './options.js';

/** Where and for whom a profile is to hold. */
export interface Circumstances {
  /** The container's capabilities, with their prefix. */
  readonly capabilities: readonly string[];
  /** As Node.js names it. */
  readonly arch: string;
  /** As `uname -r` prints it. */
  readonly kernel: string;
}

/** This machine. */
export const here = (capabilities: readonly string[]): Circumstances => ({
  capabilities,
  arch: process.arch,
  kernel: release(),
});

/** Go's names of processors, which docker's conditions use, by those of Node.js. */
const GO_ARCH: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386' };

/** Names of the kernel's by those of Node.js: the ones that `archMap` is looked up by. */
const SCMP_ARCH: Readonly<Record<string, string>> = {
  x64: 'SCMP_ARCH_X86_64',
  arm64: 'SCMP_ARCH_AARCH64',
  arm: 'SCMP_ARCH_ARM',
};

/** Whether a kernel is at least `wanted`, of which major and minor version count. */
function atLeast(kernel: string, wanted: string): boolean {
  const [major = 0, minor = 0] = wanted.split('.').map(Number);
  const [ownMajor = 0, ownMinor = 0] = kernel.split('.').map((part) => Number.parseInt(part, 10));
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}

/** Whether everything that a condition names is so. */
function included(condition: SeccompCondition, at: Circumstances): boolean {
  const { arches = [], caps = [], minKernel } = condition;
  return (
    (arches.length === 0 || arches.includes(GO_ARCH[at.arch] ?? at.arch)) &&
    caps.every((capability) => at.capabilities.includes(capability)) &&
    (minKernel === undefined || atLeast(at.kernel, minKernel))
  );
}

/** Whether anything that a condition names is so. */
function excluded(condition: SeccompCondition, at: Circumstances): boolean {
  const { arches = [], caps = [], minKernel } = condition;
  return (
    arches.includes(GO_ARCH[at.arch] ?? at.arch) ||
    caps.some((capability) => at.capabilities.includes(capability)) ||
    (minKernel !== undefined && atLeast(at.kernel, minKernel))
  );
}

/** The profile without conditions, as the OCI runtime spec has it. */
export function unconditional(profile: SeccompProfile, at: Circumstances): SeccompProfile {
  const { archMap, syscalls = [], ...rest } = profile;
  if (archMap !== undefined && rest.architectures !== undefined) {
    throw invalid('use', 'seccomp profile: it has both `architectures` and `archMap`');
  }
  const own = archMap?.find(({ architecture }) => architecture === SCMP_ARCH[at.arch]);
  return {
    ...rest,
    ...(own !== undefined && {
      architectures: [own.architecture, ...(own.subArchitectures ?? [])],
    }),
    syscalls: syscalls
      .filter(
        ({ includes = {}, excludes = {} }) => included(includes, at) && !excluded(excludes, at),
      )
      .map(plain),
  };
}

type Rule = NonNullable<SeccompProfile['syscalls']>[number];

/** A rule without its condition. */
function plain({ name, names, action, errnoRet, args }: Rule): Rule {
  return {
    names: names ?? (name === undefined ? [] : [name]),
    action,
    ...(errnoRet !== undefined && { errnoRet }),
    // docker writes `null` where there are none
    ...(args && { args }),
  };
}
