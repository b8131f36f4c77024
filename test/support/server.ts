/**
 * Starts real servers for tests. A test gives the body of a script as a function:
 *
 *     await using echo = await startServer({
 *       mode: SWOOLE_PROCESS,
 *       settings: { worker_num: 2 },
 *       setup: ({ server, report }) => {
 *         server.on('receive', (server, fd, _reactorId, data) => server.send(fd, data));
 *         server.on('close', (_server, fd) => report('close', { fd }));
 *       },
 *     });
 *     const client = await Client.connect(echo.port);
 *     …
 *     await echo.waitFor('close', (event) => event.fd === 1);
 *
 * `setup` must be an arrow function; it is written as text into a script of its own, so it cannot use what is around it:
 * constants come with `swoole`, values with `args`. startServer() resolves when all workers are ready. Leaving the block
 * stops the server and asserts that nothing of it is left. A script that is no server at all can be run with runScript().
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ServerSettings } from '../../src/index.ts';
import { EVENTS_VARIABLE, type Fixture, type FixtureOptions, ID_VARIABLE } from './fixture.ts';
import { DEADLINE_MS, until, within } from './until.ts';

/** What a script has reported. Further fields are as it gave them. */
export interface Event {
  event: string;
  pid: number;
  // biome-ignore lint/suspicious/noExplicitAny: the test knows what its own script reports
  [field: string]: any;
}

export interface ServerOptions<Args> {
  /** SWOOLE_BASE or SWOOLE_PROCESS. */
  mode: number;
  /** Plain data only: functions are set in `setup`. @default none: set() is not called */
  settings?: ServerSettings;
  setup: (fixture: Fixture<Args>) => unknown;
  /** Data for `setup`; crosses as JSON. */
  args?: Args;
  /** @default '127.0.0.1' */
  host?: string;
  /** @default 0 */
  port?: number;
  /** @default SWOOLE_SOCK_TCP */
  type?: number;
  env?: Record<string, string>;
  /** Further arguments of the script. */
  argv?: string[];
  /** Descriptors that the first process finds as 3, 4, …: it gets copies. */
  descriptors?: number[];
  /** What all processes have as standard output. @default a file that `output` shows, as standard error */
  stdout?: number;
  /** What runs the script's command line, which is put behind it: unshare, or a shell that sets limits. */
  runner?: string[];
  /** Wait for all workers, or for nothing (a server that is not meant to start). @default true */
  waitUntilReady?: boolean;
}

type Inherited = Pick<ServerOptions<unknown>, 'descriptors' | 'stdout' | 'runner'>;

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

const FIXTURE_URL = new URL('./fixture.ts', import.meta.url).href;
/** Every process of every server loads the same sources: the cache makes that three times faster. */
const COMPILE_CACHE = join(tmpdir(), 'tswoole-test-compile-cache');
const running = new Set<TestServer>();

// A test file that dies must not leave servers behind.
process.on('exit', () => {
  for (const server of running) {
    server.killAll();
    rmSync(server.directory, { recursive: true, force: true });
  }
});

export async function startServer<Args = undefined>(options: ServerOptions<Args>): Promise<TestServer> {
  const { mode, settings, args, host = '127.0.0.1', port = 0, type = 1 } = options;
  const fixture: FixtureOptions = { host, port, mode, type, settings: settings ?? null, args };
  const script = [
    `import { runFixture } from ${JSON.stringify(FIXTURE_URL)};`,
    `const setup = ${sourceOf(options.setup)};`,
    `await runFixture(setup, ${JSON.stringify(fixture)});`,
  ];
  const server = launch(script.join('\n'), options.env ?? {}, options.argv ?? [], options);
  if (options.waitUntilReady === false) return server;
  try {
    await server.ready();
  } catch (error) {
    server.killAll();
    throw error;
  }
  return server;
}

/** Runs a script to its end and answers what it reported. It gets `swoole`, `report` and `args`, and may be async. */
export async function runScript<Args = undefined>(
  body: (scope: Pick<Fixture<Args>, 'swoole' | 'report' | 'args'>) => unknown,
  args?: Args,
): Promise<TestServer> {
  const script = [
    `import * as swoole from ${JSON.stringify(new URL('../../src/index.ts', import.meta.url).href)};`,
    `import { report } from ${JSON.stringify(FIXTURE_URL)};`,
    `const body = ${sourceOf(body)};`,
    `await body({ swoole, report, args: ${JSON.stringify(args)} });`,
  ];
  const server = launch(script.join('\n'), {}, []);
  await server.exited();
  await server.assertGone();
  return server;
}

/** The text of an arrow function. */
export function sourceOf(fn: (...args: never[]) => unknown): string {
  const source = fn.toString();
  // A method written in short form is no expression.
  assert.match(source, /^(async\s+)?(function\b|\(|[\w$]+\s*=>)/, 'must be an arrow function');
  return source;
}

function launch(script: string, env: Record<string, string>, argv: string[], inherited: Inherited = {}): TestServer {
  const directory = mkdtempSync(join(tmpdir(), 'tswoole-test-'));
  const path = join(directory, 'server.mjs');
  writeFileSync(path, script);
  return new TestServer(directory, path, env, argv, inherited);
}

export class TestServer {
  /** A folder of the test's own, removed at the end. The server starts in it. */
  readonly directory: string;
  /** What the first process and its children carry in their environment. */
  private readonly id = randomUUID();
  private readonly child: ChildProcess;
  private readonly exiting: Promise<Exit>;
  /** How the first process has ended, or null. */
  exit: Exit | null = null;
  private readonly eventsPath: string;
  private readonly outputPath: string;
  private parsed: Event[] = [];
  private parsedBytes = 0;

  constructor(directory: string, script: string, env: Record<string, string>, argv: string[], inherited: Inherited) {
    const { descriptors = [], stdout, runner = [] } = inherited;
    this.directory = directory;
    this.eventsPath = join(directory, 'events');
    this.outputPath = join(directory, 'output');
    writeFileSync(this.eventsPath, '', { mode: 0o666 });
    const output = openSync(this.outputPath, 'a');
    const [command, ...commandLine] = [...runner, process.execPath, script, ...argv];
    this.child = spawn(command, commandLine, {
      cwd: directory,
      stdio: ['ignore', stdout ?? output, output, ...descriptors],
      env: {
        ...withoutTestRunner(process.env),
        NODE_COMPILE_CACHE: COMPILE_CACHE,
        ...env,
        [ID_VARIABLE]: this.id,
        [EVENTS_VARIABLE]: this.eventsPath,
      },
    });
    closeSync(output);
    running.add(this);
    this.exiting = new Promise((resolve) => {
      this.child.once('exit', (code, signal) => {
        this.exit = { code, signal };
        resolve({ code, signal });
      });
    });
  }

  /** Process id of the process that the test has started: master, manager in BASE, or the single process. */
  get pid(): number {
    return this.child.pid!;
  }

  /** Port number of the server, or of its further ports. */
  get port(): number {
    return this.portAt(0);
  }
  portAt(index: number): number {
    const start = this.events('$start')[0];
    if (start === undefined) throw this.failure('the server has not started');
    return start.ports[index].port;
  }

  /** Everything that was reported so far, or all events of one name. */
  events(name?: string): Event[] {
    const bytes = readFileSync(this.eventsPath);
    const end = bytes.lastIndexOf(10) + 1;
    if (end > this.parsedBytes) {
      const lines = bytes.subarray(this.parsedBytes, end).toString().trimEnd().split('\n');
      this.parsed.push(...lines.map((line) => JSON.parse(line) as Event));
      this.parsedBytes = end;
    }
    return name === undefined ? this.parsed : this.parsed.filter((event) => event.event === name);
  }

  /** The first event of this name for which `matches` holds, as soon as there is one. */
  waitFor(name: string, matches: (event: Event) => boolean = () => true): Promise<Event> {
    return this.until(() => this.events(name).find(matches), `event "${name}"`);
  }

  /** All events of this name, as soon as there are so many. */
  async waitForCount(name: string, count: number): Promise<Event[]> {
    await this.until(() => this.events(name).length >= count, `${count} events "${name}"`);
    return this.events(name);
  }

  /** Waits for anything; a failure shows what the server has said. */
  async until<T>(
    condition: () => T | Promise<T>,
    what: string,
    deadlineMs = DEADLINE_MS,
  ): Promise<Exclude<T, false | undefined | null>> {
    try {
      return await until(condition, what, deadlineMs);
    } catch (error) {
      throw this.failure((error as Error).message);
    }
  }

  /** What all processes have written to standard output and error; the log too, unless it has a file. */
  get output(): string {
    return readFileSync(this.outputPath, 'utf8');
  }
  async waitForOutput(pattern: RegExp): Promise<RegExpMatchArray> {
    return this.until(() => this.output.match(pattern), `output like ${pattern}`);
  }

  async ready(): Promise<void> {
    const failed = (): boolean => this.exit !== null || this.events('$end').length + this.events('$threw').length > 0;
    let workers: number | null = null;
    await this.until(() => {
      if (failed()) throw new Error('the server ended instead of starting');
      if (this.events('$start').length === 0) return false;
      workers ??= this.events('$start')[0].workers as number;
      return new Set(this.events('$worker').map((event) => event.id)).size >= workers;
    }, 'the server to start');
  }

  /** Resolves when the first process has ended. */
  exited(): Promise<Exit> {
    return within(this.exiting, 'the end of the server').catch((error: Error) => {
      throw this.failure(error.message);
    });
  }

  /** All processes that belong to this server and are alive, wherever they are in the tree of processes. */
  processes(): number[] {
    const mark = Buffer.from(`${ID_VARIABLE}=${this.id}`);
    return readdirSync('/proc')
      .map(Number)
      .filter((pid) => {
        if (!Number.isInteger(pid) || pid === process.pid) return false;
        try {
          // Empty for a zombie, unreadable for a process that has just ended.
          return readFileSync(`/proc/${pid}/environ`).includes(mark);
        } catch {
          return false;
        }
      });
  }

  kill(signal: NodeJS.Signals = 'SIGTERM'): void {
    this.child.kill(signal);
  }

  /** Ends the server as its owner would, and asserts that it ended well and that nothing of it is left. */
  async stop(): Promise<Exit> {
    this.kill('SIGTERM');
    const exit = await this.exited().catch((error: unknown) => {
      // What does not end would keep the test file from its end as well.
      this.killAll();
      this.remove();
      throw error;
    });
    await this.assertGone();
    // One that did not start is a failure of its program.
    const code = this.events('$end').some(({ result }) => result === false) ? 1 : 0;
    assert.deepEqual(exit, { code, signal: null }, this.failure('the server did not end well').message);
    return exit;
  }

  /** Waits until no process of the server is left. */
  async assertGone(): Promise<void> {
    try {
      await this.until(() => this.processes().length === 0, 'the end of all processes', 10_000);
    } finally {
      this.killAll();
      this.remove();
    }
  }

  killAll(): void {
    for (const pid of this.processes()) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended in this moment.
      }
    }
    running.delete(this);
  }

  private remove(): void {
    // What was reported stays readable.
    this.events();
    const output = this.output;
    Object.defineProperty(this, 'output', { value: output });
    Object.defineProperty(this, 'events', {
      value: (name?: string) =>
        name === undefined ? this.parsed : this.parsed.filter((event) => event.event === name),
    });
    rmSync(this.directory, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!running.has(this)) return;
    if (this.exit === null) await this.stop();
    else await this.assertGone();
  }

  private failure(message: string): Error {
    const events = this.events()
      .slice(-40)
      .map((event) => JSON.stringify(event));
    return new Error(`${message}\n--- events ---\n${events.join('\n')}\n--- output ---\n${this.output.slice(-4000)}`);
  }
}

/** The script must not believe that it is a test file of ours. */
function withoutTestRunner(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { NODE_TEST_CONTEXT: _, ...rest } = env;
  return rest;
}
