/** The user processes of a server, and the pipes between them and everybody else. */

import { Process, serverSideOf } from '../../child/process.ts';
import { SWOOLE_LOG_ERROR } from '../../constants.ts';
import { describeValue, TswooleError } from '../../errors.ts';
import { isFirst } from '../../process/life/this-process.ts';
import type { Runtime } from '../../process/way/runtime.ts';
import { SystemError } from '../../sys/error.ts';
import { closeDescriptor } from '../../sys/socket.ts';
import { duplicate } from '../../sys/socket-pair.ts';
import type { Pipe } from '../state/member.ts';
import { type Script, warn } from '../state/script.ts';

export function addProcess(script: Script, process: Process): number | false {
  if (!(process instanceof Process)) {
    throw new TswooleError('ERR_ARGUMENT', `addProcess() takes a Process, got ${describeValue(process)}`, {
      key: 'process',
    });
  }
  // The same script runs in every process: what it does wrong before start() is told once.
  const refuse = (text: string): false => {
    if (script.started || isFirst()) warn(script, `addProcess(): ${text}`);
    return false;
  };
  if (script.started) return refuse('it must come before start()');
  if (script.processes.includes(process)) return refuse('this process was added already');
  if (!serverSideOf(process).add()) return refuse('start() was called for this process: the server is to start it');
  return script.processes.push(process) - 1;
}

/** In the first process. Answers null, and leaves nothing behind, when the kernel has no more descriptors. */
export function createPipes(script: Script): (Pipe | null)[] | null {
  const pipes: (Pipe | null)[] = [];
  try {
    for (const process of script.processes) pipes.push(serverSideOf(process).createPipe());
    return pipes;
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    script.lastError.code = error.errno;
    script.logger.log(SWOOLE_LOG_ERROR, `cannot make the pipes of user processes: ${error.message}`);
    closePipes(script, pipes);
    return null;
  }
}

/** In the first process, when the server has ended. */
export function closePipes(script: Script, pipes: readonly (Pipe | null)[]): void {
  for (const process of script.processes) serverSideOf(process).attach(-1, process.id);
  for (const fd of pipeDescriptors(pipes)) closeDescriptor(fd);
}

/** The descriptors that children get, in the order in which they find them again. */
export function pipeDescriptors(pipes: readonly (Pipe | null)[]): number[] {
  return pipes.flatMap((pipe) => (pipe === null ? [] : [pipe.parent, pipe.child]));
}

/**
 * One number for each user process, by which children see that theirs are the same. With entry_script their callbacks
 * stand in another script.
 */
export function marksOf({ processes }: Script, hasEntryScript: boolean): number[] {
  return processes.map((process) => {
    const { pipeType, redirect } = serverSideOf(process);
    return hash(`${pipeType} ${redirect} ${hasEntryScript ? '' : process.callback}`);
  });
}

/** FNV-1a. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return value >>> 0;
}

/** In a child, which has the same user processes: pipes are told apart by their order alone. */
export function inheritPipes({ processes }: Script, descriptors: readonly number[]): (Pipe | null)[] {
  let next = 0;
  return processes.map((process) => {
    if (serverSideOf(process).pipeType === 0) return null;
    const pipe = { parent: descriptors[next], child: descriptors[next + 1] };
    next += 2;
    return pipe;
  });
}

/**
 * The Process objects of this process can be used from here on: all but its own are at their parent's end. Where children
 * are started they hold a descriptor of their own, so that closing it does not take it from later children.
 */
export function attachProcesses(script: Script, pipes: readonly (Pipe | null)[], runtime: Runtime): void {
  const { workerCount, taskWorkerCount } = runtime.segment.layout;
  script.processes.forEach((process, index) => {
    const id = workerCount + taskWorkerCount + index;
    if (id === runtime.workerId) return;
    const internals = serverSideOf(process);
    const fd = pipes[index]?.parent ?? -1;
    const startsChildren = runtime.role === 'master' || runtime.role === 'manager';
    internals.attach(startsChildren && fd !== -1 ? duplicate(fd) : fd, id);
    internals.followPid(() => runtime.workers.pid(id));
  });
}
