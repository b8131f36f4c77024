/** The user processes of a server, and the pipes between them and everybody else. */
import { SWOOLE_LOG_WARNING } from '../constants.ts';
import { describeValue, TswooleError } from '../errors.ts';
import { internalsOf, Process } from '../process/process.ts';
import type { Runtime } from '../process/runtime.ts';
import type { ServerCore } from './core.ts';

/** The two ends of a pipe, as descriptors of this process. */
export interface Pipe {
  parent: number;
  child: number;
}

export function addProcess(core: ServerCore, process: Process): number | false {
  if (!(process instanceof Process)) {
    throw new TswooleError('ERR_ARGUMENT', `addProcess() takes a Process, got ${describeValue(process)}`, {
      key: 'process',
    });
  }
  if (core.started) {
    core.logger.log(SWOOLE_LOG_WARNING, 'addProcess() must come before start()');
    return false;
  }
  if (core.processes.includes(process)) {
    core.logger.log(SWOOLE_LOG_WARNING, 'addProcess(): this process was added already');
    return false;
  }
  internalsOf(process).add();
  return core.processes.push(process) - 1;
}

/** In the first process. Throws when the kernel has no more descriptors. */
export function createPipes(core: ServerCore): void {
  core.pipes = core.processes.map((process) => internalsOf(process).createPipe());
}

/** The descriptors that children get, in the order in which they find them again. */
export function pipeDescriptors(core: ServerCore): number[] {
  return core.pipes.flatMap((pipe) => (pipe === null ? [] : [pipe.parent, pipe.child]));
}

/** In a child. */
export function inheritPipes(core: ServerCore, descriptors: readonly number[]): void {
  let next = 0;
  core.pipes = core.processes.map((process) => {
    if (internalsOf(process).pipeType === 0) return null;
    const pipe = { parent: descriptors[next], child: descriptors[next + 1] };
    next += 2;
    return pipe;
  });
}

/** The Process objects of this process can be used from here on: all but its own are at their parent's end. */
export function attachProcesses(core: ServerCore, runtime: Runtime): void {
  const { workerCount, taskWorkerCount } = runtime.segment.layout;
  core.processes.forEach((process, index) => {
    const id = workerCount + taskWorkerCount + index;
    if (id === runtime.workerId) return;
    const internals = internalsOf(process);
    internals.attach('parent', core.pipes[index]?.parent ?? -1, id);
    internals.setPid(runtime.workers.pid(id));
  });
}
