/** What a server takes over from the process before it, and leaves to the one behind it: its place, answers and sockets. */
import { SWOOLE_BASE } from '../../constants.ts';
import type { Inheritance } from '../../process/life/inheritance.ts';
import { isFirst, thisProcess } from '../../process/life/this-process.ts';
import { isDatagram } from '../../reactor/port.ts';
import type { Address, Bound, ListenAttempt } from '../ports/address.ts';
import { pipeDescriptors } from '../processes/user-processes.ts';
import {
  type BootAttempt,
  type BootRecord,
  bootRecord,
  daemonAttempts,
  daemonRecord,
  type Place,
} from '../state/boot-record.ts';
import type { Shared } from '../state/member.ts';
import type { Plan } from '../state/plan.ts';
import type { Script } from '../state/script.ts';
import { whatIsSaid } from './agreement.ts';

export function makeBootRecord(plan: Plan): BootRecord {
  const { script } = plan;
  let next = 0;
  return {
    place: placeOf(script),
    attempts: script.attempts.map(({ host, port, type, ssl, fd, error, activated, asked }) => ({
      ...{ host, port, type, ssl, fd, error, activated, asked },
      inherited: error === 0 && isInherited(script, type) ? next++ : -1,
    })),
    // The keys of sessions are for those who speak with clients, and for nobody else.
    tls: script.mode === SWOOLE_BASE ? plan.tls : null,
    said: whatIsSaid(plan),
  };
}

const answers: boolean[] = [];

/** What start() answers, for processes that run the script again. */
export function rememberAnswer(script: Script, answer: boolean): boolean {
  answers[script.place - 1] = answer;
  return answer;
}

export function placeOf(script: Script): Place {
  return { server: script.place, before: answers.slice(0, script.place - 1) };
}

/** What start() answers at once, where this process is there for a later server; else null. */
export function earlierAnswer(script: Script): boolean | null {
  const place = isFirst() ? daemonRecord()?.place : bootRecord().place;
  return place !== undefined && script.place < place.server ? (place.before[script.place - 1] ?? false) : null;
}

/** Children in BASE serve all sockets. In PROCESS the master does, but every process sends datagrams by itself. */
function isInherited(script: Script, type: number): boolean {
  return script.mode === SWOOLE_BASE || isDatagram(type);
}

/** What every process of the server but the first one gets; its sockets in the order of the record. */
export function makeInheritance(
  script: Script,
  { segment, doorbells, pipes }: Omit<Shared, 'inheritance'>,
): Inheritance {
  return {
    segment: [segment.fd],
    doorbells,
    sockets: script.ports.filter((port) => isInherited(script, port.type)).map((port) => port.fd),
    pipes: pipeDescriptors(pipes),
  };
}

/**
 * The socket of the next port where it need not be bound: in a child, a daemon, a reactor thread. Null where it must.
 */
export function inheritedPort(script: Script, address: Address): Bound | null {
  const { attempts } = script;
  if (earlierAnswer(script) !== null) return { fd: -1, port: address.port, error: 0 };
  if (isFirst()) return daemonAttempts(script.place)?.[attempts.length] ?? null;
  const known = bootRecord().attempts[attempts.length];
  // A script that adds a port in some processes only: there is no socket for it here.
  if (known === undefined) return { fd: -1, port: address.port, error: 0 };
  return { fd: socketOf(known), port: known.port, error: known.error };
}

/** The sockets that the first process has from systemd, where this process is not the first; null in the first. */
export function inheritedFromSystemd(script: Script): ListenAttempt[] | null {
  if (isFirst()) return daemonAttempts(script.place)?.filter((attempt) => attempt.activated) ?? null;
  return bootRecord()
    .attempts.filter((attempt) => attempt.activated)
    .map((attempt) => ({ ...attempt, fd: socketOf(attempt) }));
}

/** -1 where this process has none; threads inherit nothing. */
function socketOf(attempt: BootAttempt): number {
  const me = thisProcess();
  return 'inheritance' in me ? (me.inheritance.sockets[attempt.inherited] ?? -1) : -1;
}
