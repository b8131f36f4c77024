import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { within } from '../../../test/support/until.ts';
import { createEventfd } from '../../sys/eventfd.ts';
import { createMemoryFile } from '../../sys/memory.ts';
import type { ChildDescription } from '../identity.ts';
import type { Inheritance } from './inheritance.ts';
import type { ChildEnd, Launcher } from './launcher.ts';
import { ProcessLauncher } from './process-launcher.ts';
import { scriptOf } from './run-again.ts';
import { CHILD_VARIABLE } from './this-process.ts';

const DESCRIPTION: ChildDescription = {
  role: 'worker',
  id: 3,
  lane: 7,
  life: 9,
  again: false,
};

function inherits(changes: Partial<Inheritance> = {}): Inheritance {
  return { segment: [], doorbells: [], sockets: [], pipes: [], ...changes };
}

const directory = mkdtempSync(join(tmpdir(), 'tswoole-launcher-'));
after(() => rmSync(directory, { recursive: true }));

/** Stands in for Node: writes down how it was called, and ends with the code that its second argument tells, if any. */
const FAKE_NODE = join(directory, 'node');
writeFileSync(FAKE_NODE, `#!/bin/sh\nprintf '%s\\n' "$@" "$${CHILD_VARIABLE}" >&3\nexit 0\n`, { mode: 0o755 });

/** Lets the process have other options and arguments for a moment. */
function withProcess<T>(changes: Partial<Pick<NodeJS.Process, 'execPath' | 'execArgv' | 'argv'>>, run: () => T): T {
  const { execPath, execArgv, argv } = process;
  try {
    Object.assign(process, changes);
    return run();
  } finally {
    Object.assign(process, { execPath, execArgv, argv });
  }
}

function launchAndWait(launcher: Launcher): Promise<ChildEnd> {
  const ended = new Promise<ChildEnd>((resolve) => {
    launcher.launch(DESCRIPTION, resolve);
  });
  return within(ended, 'the end of a child');
}

/** The lines that the fake Node writes down when `times` children are launched one after the other: the last one's. */
async function launched(
  execArgv: string[],
  { inspectOffset = 0, times = 1, args = [] as string[] } = {},
): Promise<string[]> {
  const path = join(directory, 'calls');
  let lines: string[] = [];
  let launcher: ProcessLauncher | null = null;
  for (let i = 0; i < times; i++) {
    const fd = openSync(path, 'w');
    // The same launcher, which counts; only its descriptors change.
    launcher ??= new ProcessLauncher({
      script: '/app/server.ts',
      inheritance: inherits({ segment: [fd] }),
      inspectOffset,
    });
    const ended = withProcess({ execPath: FAKE_NODE, execArgv, argv: ['node', '/app/other.ts', ...args] }, () =>
      launchAndWait(launcher!),
    );
    await ended;
    closeSync(fd);
    lines = readFileSync(path, 'utf8').trimEnd().split('\n');
  }
  return lines;
}

describe('a launched process', () => {
  it('runs the script with the options and arguments of this one, and knows its role', async () => {
    const execArgv = ['--import', '../hook.mjs', '--env-file=.env', '--conditions=dev', '--max-old-space-size=100'];
    const lines = await launched(execArgv, { args: ['--port', '80', 'a b'] });
    assert.deepEqual(lines.slice(0, -1), [...execArgv, '/app/server.ts', '--port', '80', 'a b']);
    assert.deepEqual(JSON.parse(lines.at(-1)!), {
      description: DESCRIPTION,
      inherits: { segment: 1, doorbells: 0, sockets: 0, pipes: 0 },
      parent: process.pid,
    });
  });

  it('has the descriptors in their order, from 3 on', async () => {
    const script = join(directory, 'descriptors.mjs');
    writeFileSync(
      script,
      `import { writeSync } from 'node:fs';
       for (const fd of [3, 4, 5]) writeSync(fd, String(fd));`,
    );
    const paths = ['a', 'b', 'c'].map((name) => join(directory, name));
    const fds = paths.map((path) => openSync(path, 'w'));
    const [segment, ...doorbells] = fds;
    const inheritance = inherits({ segment: [segment], doorbells });
    const launcher = new ProcessLauncher({ script, inheritance, inspectOffset: 0 });
    await withProcess({ execArgv: [] }, () => launchAndWait(launcher));
    for (const fd of fds) closeSync(fd);
    assert.deepEqual(
      paths.map((path) => readFileSync(path, 'utf8')),
      ['3', '4', '5'],
    );
  });

  it('tells how it ended, once', async () => {
    const script = join(directory, 'end.mjs');
    writeFileSync(script, "process.argv[2] === 'kill' ? process.kill(process.pid, 'SIGKILL') : process.exit(9);");
    for (const [args, expected] of [
      [[], { exitCode: 9, signal: null, byStop: false }],
      [['kill'], { exitCode: 0, signal: 'SIGKILL', byStop: false }],
    ] as const) {
      const launcher = new ProcessLauncher({ script, inheritance: inherits(), inspectOffset: 0 });
      const argv = [process.argv[0], script, ...args];
      assert.deepEqual(await withProcess({ execArgv: [], argv }, () => launchAndWait(launcher)), expected);
    }
  });

  it('ends when it is asked to, and when it is killed', async () => {
    const script = join(directory, 'stay.mjs');
    writeFileSync(script, 'setInterval(() => {}, 1000);');
    const launcher = new ProcessLauncher({ script, inheritance: inherits(), inspectOffset: 0 });
    for (const [how, signal, byStop] of [
      ['stop', 'SIGTERM', true],
      ['kill', 'SIGKILL', false],
    ] as const) {
      const ended = new Promise<ChildEnd>((resolve) => {
        const child = withProcess({ execArgv: [] }, () => launcher.launch(DESCRIPTION, resolve));
        assert.equal(child.life, DESCRIPTION.life);
        child[how]();
      });
      assert.deepEqual(await within(ended, 'the end of a child'), { exitCode: 0, signal, byStop });
    }
  });

  it('that has handed down what it inherits finds it again', async () => {
    const script = join(directory, 'read.mjs');
    const module = new URL('./this-process.ts', import.meta.url);
    const told = join(directory, 'told');
    writeFileSync(
      script,
      `import { writeFileSync } from 'node:fs';
       import { isFirst, thisProcess } from ${JSON.stringify(module)};
       writeFileSync(${JSON.stringify(told)}, JSON.stringify([isFirst(), thisProcess(), Object.keys(process.env)]));`,
    );
    const inheritance = inherits({
      segment: [createMemoryFile('test', 1)],
      doorbells: [createEventfd(), createEventfd()],
    });
    const launcher = new ProcessLauncher({ script, inheritance, inspectOffset: 0 });
    const { exitCode } = await withProcess({ execArgv: [] }, () => launchAndWait(launcher));
    for (const fd of [...inheritance.segment, ...inheritance.doorbells]) closeSync(fd);
    assert.equal(exitCode, 0);
    const [first, me, variables] = JSON.parse(readFileSync(told, 'utf8'));
    assert.equal(first, false);
    assert.deepEqual(me, {
      kind: 'worker',
      description: DESCRIPTION,
      inheritance: { segment: [3], doorbells: [4, 5], sockets: [], pipes: [] },
      parent: process.pid,
    });
    assert.ok(!variables.includes(CHILD_VARIABLE), 'its own children are free');
  });

  it('that cannot be started is an error, at once', async () => {
    let ends = 0;
    const launcher = new ProcessLauncher({ script: 'x', inheritance: inherits(), inspectOffset: 0 });
    withProcess({ execPath: join(directory, 'nothing') }, () => {
      assert.throws(() => launcher.launch(DESCRIPTION, () => ends++), /nothing x does not start: ENOENT: no such file/);
    });
    // Who is told twice starts two others.
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(ends, 0);
  });
});

describe('the inspector of a launched process', () => {
  const inspector = async (option: string, settings = {}): Promise<string> => (await launched([option], settings))[0];

  it('has a port of its own', async () => {
    assert.equal(await inspector('--inspect'), '--inspect=9230');
    assert.equal(await inspector('--inspect=9300'), '--inspect=9301');
    assert.equal(await inspector('--inspect=127.0.0.1:9300'), '--inspect=127.0.0.1:9301');
    assert.equal(await inspector('--inspect=[::1]:9300'), '--inspect=[::1]:9301');
    assert.equal(await inspector('--inspect-brk=9300'), '--inspect-brk=9301');
    assert.equal(await inspector('--inspect-wait'), '--inspect-wait=9230');
  });

  it('has another one for each process, also of different launchers', async () => {
    assert.equal(await inspector('--inspect=9300', { times: 3 }), '--inspect=9303');
    assert.equal(await inspector('--inspect=9300', { inspectOffset: 100, times: 2 }), '--inspect=9402');
  });

  it('is left to the kernel where this one’s is', async () => {
    assert.equal(await inspector('--inspect=0'), '--inspect=0');
    assert.equal(await inspector('--inspect=localhost:0'), '--inspect=localhost:0');
  });

  it('is its own where only the host, or --inspect-port, is told', async () => {
    assert.equal(await inspector('--inspect=localhost'), '--inspect=localhost:9230');
    assert.equal(await inspector('--inspect=[::1]'), '--inspect=[::1]:9230');
    assert.equal(await inspector('--inspect=127.0.0.1'), '--inspect=127.0.0.1:9230');
    assert.equal(await inspector('--inspect-port=9300'), '--inspect-port=9301');
  });

  it('leaves other options alone', async () => {
    for (const option of ['--inspect-publish-uid=http', '--no-inspect', '--title=--inspect=9300'])
      assert.equal(await inspector(option), option);
  });
});

describe('the script to run again', () => {
  const script = (changes: { execArgv?: string[]; argv?: string[] }, entry: string | null = null): string =>
    withProcess({ execArgv: [], argv: ['node', '/app/main.ts'], ...changes }, () => scriptOf(entry));

  it('is this process’s own, or the one that a setting names', () => {
    assert.equal(script({}), '/app/main.ts');
    assert.equal(script({}, '/app/worker.ts'), '/app/worker.ts');
    assert.equal(script({ execArgv: ['-e', 'x'], argv: ['node'] }, '/app/worker.ts'), '/app/worker.ts');
  });

  it('is refused, with what to do, where there is none', () => {
    for (const option of ['-e', '-p', '-pe', '--eval', '--print'])
      assert.throws(() => script({ execArgv: [option, 'code'], argv: ['node', 'argument'] }), /entry_script/);
    assert.throws(() => script({ argv: ['node'] }), /put the code into a file/);
    assert.throws(() => script({ argv: ['node', '-'] }), /standard input/);
  });
});
