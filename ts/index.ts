/**
 * minictr: containers as an npm dependency.
 */
export { isMachineRoot } from './container/caller.js';
export { type ForegroundOptions, runForeground } from './container/foreground.js';
export type * from './container/options.js';
export { ContainerProcess } from './container/process.js';
export { ProgramError, type RunResult, type Usage } from './container/result.js';
export { run } from './container/run.js';
export type {
  CpuStats,
  HugePageStats,
  IoDeviceStats,
  IoStats,
  MemoryStats,
  PidsStats,
  Pressure,
  Stall,
  Stats,
} from './container/stats.js';
export type { InputStreamOf, OutputOf, OutputStreamOf, ResultOf } from './container/types.js';
export { deploy, type DeployedPath, type Deployment, type DeployOptions } from './deploy/deploy.js';
export { findDeployed } from './deploy/find.js';
export { apparmorProfile } from './doctor/apparmor.js';
export { type Check, type CheckName, type Diagnosis, doctor } from './doctor/doctor.js';
export { type ErrorCode, MinictrError } from './errors.js';
export { commit, coreVersion, version } from './version.js';
