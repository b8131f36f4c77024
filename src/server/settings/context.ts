/** What the settings depend on besides what the user wrote. */
export interface SettingsContext {
  /** SWOOLE_BASE, SWOOLE_PROCESS or SWOOLE_THREAD. */
  mode: 1 | 2 | 3;
  cpuCount: number;
  /** The limit of open files (ulimit -n); Infinity where the first process has looked after it. */
  fdLimit: number;
  /** Descriptors that are open before the server starts. @default 0 */
  openFiles?: number;
  /** @default 0 */
  userProcessCount?: number;
  portCount: number;
  /** True exactly when a port other than the primary one has a package_length_func. @default false */
  hasLengthFunction?: boolean;
}
