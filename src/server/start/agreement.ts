/**
 * The script runs in every process and must make the same server in each. What it has said in the first one stands in the
 * boot record. A child whose script has another structure cannot take its place: it names all differences and ends before
 * it is ready. Settings are those of the first process everywhere, so that `server.setting` shows what is in force.
 */
import { isDeepStrictEqual } from 'node:util';
import {
  SWOOLE_LOG_ERROR,
  SWOOLE_LOG_WARNING,
  SWOOLE_PROCESS,
  SWOOLE_SOCK_TCP,
  SWOOLE_SOCK_TCP6,
  SWOOLE_SOCK_UDP,
  SWOOLE_SOCK_UDP6,
  SWOOLE_SOCK_UNIX_DGRAM,
  SWOOLE_SOCK_UNIX_STREAM,
} from '../../constants.ts';
import type { ChildDescription } from '../../process/identity.ts';
import type { StartedChild } from '../../process/life/this-process.ts';
import { isUnix } from '../../reactor/port.ts';
import { MANAGER_INBOX } from '../../shm/layout.ts';
import { Outbox } from '../../shm/mailbox.ts';
import { WORKER_FAILED } from '../../shm/messages.ts';
import { cpuCount } from '../../sys/process.ts';
import type { ListenAttempt } from '../ports/address.ts';
import { marksOf } from '../processes/user-processes.ts';
import { KNOWN_SETTINGS } from '../settings/known.ts';
import { type NormalisedSettings, settledValues } from '../settings/settings.ts';
import { type BootRecord, bootRecord, inheritedSegment, type PlainSettings, type Said } from '../state/boot-record.ts';
import type { Plan } from '../state/plan.ts';
import type { Script } from '../state/script.ts';

const LAST_WORD_MS = 50;

/** In the first process: what the others are told. */
export function whatIsSaid({ script, said, settings }: Plan): Said {
  return {
    mode: script.mode,
    settings: plainSettings(said),
    settled: settledValues(settings),
    ports: script.ports.map(({ ownSettings, settingValues }) => ({
      ownSettings,
      settings: plainSettings(settingValues),
    })),
    commands: script.commands.types,
    hasEntryScript: settings.entryScript !== null,
    processes: marksOf(script, settings.entryScript !== null),
  };
}

/** In a child, before it makes anything of what its script has said. Ends the process where that does not fit. */
export function agree(script: Script, { description, inheritance }: StartedChild): void {
  const { role, id, again } = description;
  const record = bootRecord();
  const where = again ? 'in the new code' : 'in this process';
  const remedy = again ? 'restart to change it' : 'the script must say the same in every process';
  const structure = structuralDifferences(script, record).map((difference) => inWords(difference, where));
  if (structure.length > 0) {
    const text = `${structure.join('; ')}: ${remedy}`;
    script.logger.log(SWOOLE_LOG_ERROR, text);
    tellManager(description, inheritance.doorbells, text);
    process.exit(1);
  }
  const others = takeSettings(script, record.said).map((difference) => inWords(difference, where));
  // All processes of the same script see the same.
  if (others.length > 0 && role === 'worker' && id === 0)
    script.logger.log(SWOOLE_LOG_WARNING, `${others.join('; ')}: ${remedy}`);
}

/** Who has asked for a reload is told why there is none. */
function tellManager({ role, id, lane, life }: ChildDescription, doorbells: readonly number[], text: string): void {
  if (role === 'manager') return;
  const outbox = new Outbox(inheritedSegment(), lane, doorbells);
  outbox.to(MANAGER_INBOX).post(WORKER_FAILED, id, life, Buffer.from(text));
  outbox.pump();
  outbox.flush();
  // Should the manager see our end before the message, it would tell of that only.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LAST_WORD_MS);
}

/** What the script says here, and what runs. */
interface Difference {
  subject: string;
  here: string;
  there: string;
}

function inWords({ subject, here, there }: Difference, where: string): string {
  return `${subject} is ${here} ${where}, the server has ${there}`;
}

// ---- structure: what cannot be changed while the server runs -------------------------------------------------------

function structuralDifferences(script: Script, { attempts, said }: BootRecord): Difference[] {
  const all: Difference[] = [];
  const compare = (subject: string, here: string, there: string): void => {
    if (here !== there) all.push({ subject, here, there });
  };
  compare('the mode', modeName(script.mode), modeName(said.mode));
  for (const key of ['worker_num', 'task_worker_num'] as const)
    compare(key, `${countHere(script, said, key)}`, `${said.settled[key]}`);
  for (let index = 0; index < Math.max(script.attempts.length, attempts.length); index++)
    compare(`port ${index}`, portName(script.attempts[index]), portName(attempts[index]));
  const processes = marksOf(script, said.hasEntryScript);
  compare('the number of user processes', `${processes.length}`, `${said.processes.length}`);
  if (processes.length === said.processes.length)
    for (const [index, mark] of processes.entries())
      if (mark !== said.processes[index])
        all.push({ subject: `user process ${index}`, here: 'another one', there: 'that of its start' });
  const here = new Map(script.commands.types);
  const there = new Map(said.commands);
  for (const name of new Set([...there.keys(), ...here.keys()]))
    compare(`command "${name}"`, commandName(here.get(name)), commandName(there.get(name)));
  return all;
}

/** What is not said is the same when it was not said in the first process either, however many processors there are now. */
function countHere({ mode, setting }: Script, { settings, settled }: Said, key: 'worker_num' | 'task_worker_num') {
  const wanted = setting[key];
  if (wanted === settings.values[key]) return settled[key];
  return wanted ?? (key === 'task_worker_num' ? 0 : mode === SWOOLE_PROCESS ? cpuCount() : 1);
}

function modeName(mode: number): string {
  return mode === SWOOLE_PROCESS ? 'SWOOLE_PROCESS' : 'SWOOLE_BASE';
}

const TYPE_NAMES: Record<number, string> = {
  [SWOOLE_SOCK_TCP]: 'SWOOLE_SOCK_TCP',
  [SWOOLE_SOCK_TCP6]: 'SWOOLE_SOCK_TCP6',
  [SWOOLE_SOCK_UDP]: 'SWOOLE_SOCK_UDP',
  [SWOOLE_SOCK_UDP6]: 'SWOOLE_SOCK_UDP6',
  [SWOOLE_SOCK_UNIX_STREAM]: 'SWOOLE_SOCK_UNIX_STREAM',
  [SWOOLE_SOCK_UNIX_DGRAM]: 'SWOOLE_SOCK_UNIX_DGRAM',
};

function portName(port: Pick<ListenAttempt, 'host' | 'asked' | 'type' | 'ssl'> | undefined): string {
  if (port === undefined) return 'none';
  const { host, asked, type, ssl } = port;
  return `${isUnix(type) ? host : `${host}:${asked}`} (${TYPE_NAMES[type]}${ssl ? ' | SWOOLE_SSL' : ''})`;
}

function commandName(types: number | undefined): string {
  return types === undefined ? 'none' : `one for the processes ${types}`;
}

// ---- settings: those of the first process are in force ---------------------------------------------------------------

/** Answers in what the script would have them otherwise. */
function takeSettings(script: Script, said: Said): Difference[] {
  const differences = settingDifferences(script.setting, said.settings, '');
  script.setting = { ...merged(script.setting, said.settings), ...said.settled };
  for (const [index, port] of script.ports.entries()) {
    const { ownSettings, settings } = said.ports[index];
    if (port.ownSettings || ownSettings)
      differences.push(...settingDifferences(port.settingValues, settings, ` of port ${index}`));
    port.settingValues = merged(port.settingValues, settings);
    port.ownSettings = ownSettings;
  }
  return differences;
}

/** The functions are this process's own: they do not cross. */
function merged(own: NormalisedSettings, said: PlainSettings): NormalisedSettings {
  const functions = said.functions.map((key) => [key, own[key as keyof NormalisedSettings]]);
  return { ...said.values, ...Object.fromEntries(functions.filter(([, value]) => value !== undefined)) };
}

function settingDifferences(own: NormalisedSettings, said: PlainSettings, of: string): Difference[] {
  const here = asEntries(plainSettings(own));
  const there = asEntries(said);
  const keys = new Set([...here.keys(), ...there.keys()]);
  return [...keys]
    .filter((key) => !isDeepStrictEqual(here.get(key), there.get(key)))
    .map((key) => ({ subject: `${key}${of}`, here: shown(here, key), there: shown(there, key) }));
}

/** By the name that is the setting's own. */
function asEntries({ values, functions }: PlainSettings): Map<string, unknown> {
  const all: [string, unknown][] = [...Object.entries(values), ...functions.map((key): [string, string] => [key, key])];
  return new Map(all.filter(([key]) => KNOWN_SETTINGS.get(key)?.canonical === key));
}

/** Texts may be secrets, or long. */
function shown(settings: Map<string, unknown>, key: string): string {
  const value = settings.get(key);
  if (value === undefined) return 'not set';
  return typeof value === 'number' || typeof value === 'boolean' ? `${value}` : 'another one';
}

function plainSettings(settings: NormalisedSettings): PlainSettings {
  const entries = Object.entries(settings).filter(([, value]) => value !== undefined);
  return {
    values: Object.fromEntries(entries.filter(([, value]) => isPlain(value))),
    functions: entries.filter(([, value]) => !isPlain(value)).map(([key]) => key),
  };
}

function isPlain(value: unknown): boolean {
  if (typeof value === 'function' || typeof value === 'symbol') return false;
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return true;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (Array.isArray(value)) return value.every(isPlain);
  return (prototype === Object.prototype || prototype === null) && Object.values(value).every(isPlain);
}
