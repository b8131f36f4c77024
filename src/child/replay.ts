/**
 * Node cannot fork. The child of a `Process` runs the script again from its beginning and comes to the place where its
 * parent called start(): until then the process _replays_, and what a Process would do to others is left out. There it
 * becomes the child: it runs the callback, and nothing behind start() runs.
 *
 * A process finds its place by counting: the n-th `new Process` is the same in every run of the script. A child that starts
 * children itself hands its own way down, so that they take it too: path [2, 5] is the second Process of the script, and in
 * its callback the one that is constructed as the fifth.
 */
import { isMainThread } from 'node:worker_threads';
import { PROCESS_VARIABLE, type ProcessRecord, thisProcess } from '../process/life/this-process.ts';

/** What start() has to do here. */
export type Step = 'start' | 'become' | 'pass' | 'nothing';

const me = thisProcess();
const own = 'record' in me ? me.record : null;
/** The rest of the way to the place where this process becomes itself. */
const way: number[] = own === null ? [] : [...own.path];
/** The script runs as it has run before, until the server starts here. */
let repeatsForServer = me.kind === 'first' ? me.daemon !== null : me.kind !== 'replay';
/** A thread of the user's runs beside a script that does everything itself. */
const isForeignThread = !isMainThread && me.kind === 'first';

/** How this process was started by another Process, or null. */
export function ownRecord(): ProcessRecord | null {
  return own;
}

export function recordVariable(record: ProcessRecord): Record<string, string> {
  return { [PROCESS_VARIABLE]: JSON.stringify(record) };
}

/** True exactly while this run only repeats what another process has done. */
export function isReplaying(): boolean {
  return way.length > 0 || repeatsForServer || isForeignThread;
}

const speech: (() => void)[] = [];

/** What the script prints on its way was printed by the parent; and a pipe in place of standard output is for the callback. */
function silence(): void {
  for (const stream of [process.stdout, process.stderr]) {
    // Usually a method of the stream's class; a loader may have put another one before it.
    const own = Object.getOwnPropertyDescriptor(stream, 'write');
    stream.write = (...args: unknown[]): boolean => {
      const done = args.at(-1);
      if (typeof done === 'function') process.nextTick(done);
      return true;
    };
    speech.push(() => {
      Reflect.deleteProperty(stream, 'write');
      if (own !== undefined) Object.defineProperty(stream, 'write', own);
    });
  }
}

function speak(): void {
  for (const restore of speech.splice(0)) restore();
}

if (way.length > 0) silence();

/** The process of this number is to be started. 'become' and 'pass' take the way one step further. */
export function nextStep(number: number): Step {
  if (!isReplaying()) return 'start';
  if (way[0] !== number) return 'nothing';
  way.shift();
  if (way.length === 0) speak();
  return way.length === 0 ? 'become' : 'pass';
}

/** From here on this is a process of a running server, and may have processes of its own. */
export function leaveReplayOfServer(): void {
  repeatsForServer = false;
}

/**
 * A child whose script ends, or becomes idle, without coming to its place would be a silent nothing: its parent has
 * constructed it where another run of the script does not come, as in a timer or a signal handler.
 */
if (own !== null)
  process.once('beforeExit', () => {
    if (way.length === 0) return;
    speak();
    process.stderr.write(
      `tswoole: process ${way[0]} was not started in this run of the script. Each child runs the script again: ` +
        'construct processes, and call start(), in the same order in every run, outside of timers and events.\n',
    );
    process.exit(1);
  });

/**
 * Ends the evaluation of the script here, while the process lives on: throws an error that nobody gets to see. At the top
 * level, in functions and in async functions alike it ends as an uncaught error, which is taken back at the last moment.
 * Code that catches it (`main().catch(…)`, `try`) has to throw it again; its message says so.
 */
export function endScript(): never {
  const end = new Error(
    'this is the child of a Process: its callback runs, and the script ends at start(). Not an error; do not catch it',
  );
  end.name = 'ProcessStarted';
  end.stack = `${end.name}: ${end.message}`;
  // Without this the unfinished script would make Node's exit code 13.
  process.exitCode ??= 0;
  takeBack(end);
  throw end;
}

function takeBack(end: Error): void {
  // Whoever has set one gets this error too.
  if (process.hasUncaughtExceptionCaptureCallback()) return;
  process.setUncaughtExceptionCaptureCallback((error) => {
    process.setUncaughtExceptionCaptureCallback(null);
    if (error === end) return;
    // Another one was faster: it is Node's, as if we were not here.
    setImmediate(() => {
      setImmediate(() => takeBack(end));
      throw error;
    });
  });
}
