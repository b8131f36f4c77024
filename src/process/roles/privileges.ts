/** What a worker does to itself before it runs user code: its processor, its root directory, its user. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { SWOOLE_LOG_WARNING } from '../../constants.ts';
import { SIGKILL } from '../../sys/constants.ts';
import { changeRoot, cpuCount, dieWithParent, setAffinity } from '../../sys/process.ts';
import type { PrivilegeSettings } from '../role-settings.ts';
import type { Runtime } from '../way/runtime.ts';

let ownRoot = '';

/** The directory that is the root of this process, where it has one of its own; else ''. */
export function rootDirectory(): string {
  return ownRoot;
}

/**
 * Names that do not exist are told and change nothing, as Swoole does. Only root can do any of it. `parent`: the process
 * to die with; null where nobody of the server's is.
 */
export function applyPrivileges(settings: PrivilegeSettings, runtime: Runtime, parent: number | null): void {
  const warn = (text: string): void => runtime.logger.log(SWOOLE_LOG_WARNING, text);
  if (settings.openCpuAffinity) pinToCpu(settings, runtime.workerId, warn);
  if (process.getuid?.() !== 0) return;
  const gid = settings.group === null ? null : findId('/etc/group', settings.group);
  const user = settings.user === null ? null : findUser(settings.user);
  if (settings.group !== null && gid === null) warn(`group "${settings.group}" does not exist: it is not changed`);
  if (settings.user !== null && user === null) warn(`user "${settings.user}" does not exist: it is not changed`);
  if (settings.chroot !== null) {
    const root = resolve(settings.chroot);
    const error = changeRoot(root);
    if (error !== 0) warn(`chroot("${settings.chroot}") failed with errno ${error}`);
    else {
      process.chdir('/');
      ownRoot = root;
    }
  }
  if (gid !== null) process.setgid?.(gid);
  if (user !== null) {
    // The supplementary groups of root must not stay.
    process.setgroups?.([gid ?? user.gid]);
    process.setuid?.(user.uid);
  }
  // A change of user clears the request to be told of the parent's death.
  if (parent !== null && (gid !== null || user !== null)) dieWithParent(parent, SIGKILL);
}

/** Workers are spread over the processors that are not to be left out. */
function pinToCpu(settings: PrivilegeSettings, workerId: number, warn: (text: string) => void): void {
  const cpus = Array.from({ length: cpuCount() }, (_, cpu) => cpu).filter(
    (cpu) => !settings.cpuAffinityIgnore.includes(cpu),
  );
  if (cpus.length === 0) return;
  const error = setAffinity([cpus[workerId % cpus.length]]);
  if (error !== 0) warn(`binding worker ${workerId} to a processor failed with errno ${error}`);
}

function findId(file: string, name: string): number | null {
  const line = readFileSync(file, 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith(`${name}:`));
  return line === undefined ? null : Number(line.split(':')[2]);
}

function findUser(name: string): { uid: number; gid: number } | null {
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith(`${name}:`));
  if (line === undefined) return null;
  const [, , uid, gid] = line.split(':');
  return { uid: Number(uid), gid: Number(gid) };
}
