/** `Process` without a server: real children that run the test's script again. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ENOENT } from '../../src/sys/constants.ts';
import { findMessageQueue } from '../../src/sys/message-queue.ts';
import { isAlive } from '../support/process-info.ts';
import { runScript, type TestServer } from '../support/server.ts';
import { until } from '../support/until.ts';

const OK = { code: 0, signal: null };

/** What the first process reported: its children run the script as well, up to their place. */
function parentValuesOf(run: TestServer, name: string): unknown[] {
  return run.events(name).flatMap(({ pid, value }) => (pid === run.pid ? [value] : []));
}

function valuesOf(run: TestServer, name: string): unknown[] {
  return run.events(name).map(({ event: _, pid: __, ...details }) => details.value);
}

describe('a Process', () => {
  it('runs its callback in a child, and nothing behind start() there', async () => {
    const run = await runScript(async ({ swoole: { Process }, report }) => {
      report('before');
      console.log('printed once');
      console.error('this too');
      const child = new Process((self) => {
        console.log('printed inside');
        report('inside', { value: [self === child, self.pid === process.pid, self.id, process.ppid] });
      });
      const pid = child.start();
      report('behind', { value: [pid, child.pid, await Process.wait(), await Process.wait()] });
    });
    assert.deepEqual(run.exit, OK, run.output);
    assert.equal(run.events('before').length, 2);
    const [behind] = run.events('behind');
    const [inside] = run.events('inside');
    assert.equal(run.events('behind').length, 1);
    assert.deepEqual(inside.value, [true, true, 1, behind.pid]);
    assert.deepEqual(behind.value, [inside.pid, inside.pid, { pid: inside.pid, code: 0, signal: 0 }, false]);
    assert.equal(run.output, 'printed once\nthis too\nprinted inside\n');
  });

  it('is found by its place among others, which a child does not start again', async () => {
    const run = await runScript(async ({ swoole: { Process }, report }) => {
      const pids: (number | false)[] = [];
      for (let n = 1; n <= 3; n++) {
        const each = new Process(async (self) => {
          await new Promise((resolve) => setTimeout(resolve, 5));
          report('child', { value: [n, self.id, pids] });
          process.exitCode = n;
        });
        pids.push(each.start());
      }
      const codes = [];
      for (let status = await Process.wait(); status !== false; status = await Process.wait()) codes.push(status);
      report('codes', { value: codes.sort((a, b) => a.code - b.code), pids });
    });
    assert.deepEqual(run.exit, OK, run.output);
    const [codes] = run.events('codes');
    assert.deepEqual(
      codes.value,
      [1, 2, 3].map((code) => ({ pid: codes.pids[code - 1], code, signal: 0 })),
    );
    // A child knows those that ran before it.
    const children = run.events('child').sort((a, b) => a.value[0] - b.value[0]);
    assert.deepEqual(
      children.map(({ value }) => value),
      [1, 2, 3].map((n) => [n, n, codes.pids.slice(0, n - 1)]),
    );
  });

  it('can hold sockets, queues and data for its children before they start', async () => {
    const run = await runScript(async ({ swoole: { Process }, report }) => {
      const children = ['a', 'b'].map((name) => {
        const each = new Process(async (self) => {
          const socket = self.exportSocket();
          if (socket === false) throw new Error('no socket');
          const [first] = children;
          report('child', { value: [name, String(await socket.recv()), first.pid === self.pid || first.start()] });
          // The pipe of the other one is its parent's.
          if (name === 'b') report('sibling', { value: [first.write('x'), first.exportSocket()] });
          if (name === 'a') await socket.recv();
          await socket.send(`bye from ${name}`);
        });
        const socket = each.exportSocket();
        if (socket === false) throw new Error('no socket');
        return each;
      });
      for (const [index, each] of children.entries()) {
        const socket = each.exportSocket();
        if (socket === false || (await socket.send(`${index}`)) === false) throw new Error('cannot send');
        if (each.start() === false) throw new Error('cannot start');
      }
      for (const each of children.reverse()) {
        const socket = each.exportSocket();
        each.write('end');
        report('answer', { value: socket && String(await socket.recv()) });
      }
    });
    assert.deepEqual(run.exit, OK, run.output);
    assert.deepEqual(valuesOf(run, 'child').sort(), [
      ['a', '0', true],
      ['b', '1', false],
    ]);
    assert.deepEqual(valuesOf(run, 'sibling'), [[false, false]]);
    assert.deepEqual(valuesOf(run, 'answer'), ['bye from b', 'bye from a']);
  });

  it('starts from functions and async functions that nobody awaits', async () => {
    const run = await runScript(async ({ swoole: { Process }, report }) => {
      const deep = (): void => {
        new Process(async () => report('inside', { value: 1 })).start();
        report('behind');
      };
      const later = async (): Promise<void> => {
        await null;
        new Process(async () => report('inside', { value: 2 })).start();
        report('behind');
      };
      deep();
      later();
      await new Promise((resolve) => setTimeout(resolve, 1));
      await Process.wait();
      await Process.wait();
    });
    assert.deepEqual(run.exit, OK, run.output);
    assert.deepEqual(valuesOf(run, 'inside').sort(), [1, 2]);
    assert.equal(run.events('behind').length, 3, 'two in the parent, one in the second child, which passes the first');
    assert.equal(run.output, '');
  });

  it('starts children of its own', async () => {
    const run = await runScript(async ({ swoole: { Process }, report }) => {
      new Process(() => report('never started'));
      const outer = new Process(async (self) => {
        report('outer', { value: self.id });
        const inner = new Process((process_) => {
          process_.write('from inside');
          report('inner', { value: [process_.id, process.ppid] });
          process_.exit(7);
        });
        inner.start();
        report('read', { value: [String(await inner.read()), (await Process.wait()) || null] });
      });
      outer.start();
      await Process.wait();
      report('end');
    });
    assert.deepEqual(run.exit, OK, run.output);
    const [inner] = run.events('inner');
    // The way to it is taken again, through the callback of its parent.
    assert.equal(run.events('outer').length, 2);
    assert.deepEqual(inner.value, [3, run.events('read')[0].pid]);
    assert.deepEqual(valuesOf(run, 'read'), [['from inside', { pid: inner.pid, code: 7, signal: 0 }]]);
    assert.equal(run.events('end').length, 1);
  });

  it('can be started again once it has ended, not before', async () => {
    const run = await runScript(async ({ swoole: { Process }, report }) => {
      const child = new Process(async (self) => {
        const word = await self.read();
        self.write(`${word}!`);
      });
      for (const word of ['one', 'two']) {
        report('start', { value: [typeof child.start(), child.start()] });
        child.write(word);
        report('answer', { value: String(await child.read()) });
        await Process.wait();
      }
    });
    assert.deepEqual(run.exit, OK, run.output);
    assert.deepEqual(valuesOf(run, 'start'), [
      ['number', false],
      ['number', false],
    ]);
    assert.deepEqual(valuesOf(run, 'answer'), ['one!', 'two!']);
    assert.match(run.output, /runs already/);
  });

  it('ends with its promise, or with its loop when enable_coroutine is set', async () => {
    const run = await runScript(async ({ swoole: { Process }, report }) => {
      const callback = async (self: InstanceType<typeof Process>): Promise<void> => {
        setTimeout(() => report('timer', { value: self.id }), 100);
        await null;
      };
      const plain = new Process(callback);
      const loop = new Process(callback, false, 2, true);
      const set = new Process(callback);
      set.set({ enable_coroutine: true });
      const sync = new Process((self) => {
        setTimeout(() => report('timer', { value: self.id }), 100);
      });
      for (const each of [plain, loop, set, sync]) each.start();
      for (let i = 0; i < 4; i++) report('status', { value: ((await Process.wait()) || { code: -1 }).code });
    });
    assert.deepEqual(run.exit, OK, run.output);
    assert.deepEqual(valuesOf(run, 'timer').sort(), [2, 3]);
    assert.deepEqual(valuesOf(run, 'status'), [0, 0, 0, 0]);
  });

  it('ends as Node does after an error, told on standard error', async () => {
    const run = await runScript(async ({ swoole: { Process }, report }) => {
      const failures: (() => unknown)[] = [
        () => {
          throw new Error('at once');
        },
        async () => {
          throw new Error('later');
        },
        async () => {
          await null;
          setTimeout(() => {
            throw new Error('in a timer');
          });
          await new Promise((resolve) => setTimeout(resolve, 5000));
        },
      ];
      for (const each of failures) {
        new Process(each).start();
        report('status', { value: ((await Process.wait()) || { code: -1 }).code });
      }
    });
    assert.deepEqual(run.exit, OK, run.output);
    assert.deepEqual(parentValuesOf(run, 'status'), [1, 1, 1]);
    for (const text of ['at once', 'later', 'in a timer']) assert.ok(run.output.includes(`Error: ${text}`), run.output);
    assert.ok(!run.output.includes('ProcessStarted'), run.output);
  });

  it('tells how it ended: exit codes and signals', async () => {
    const run = await runScript(async ({ swoole: { Process }, report }) => {
      const children = [
        new Process((self) => self.exit(3)),
        new Process((self) => self.exit(256)),
        new Process(() => process.exit(9)),
        new Process(async () => process.kill(process.pid, 'SIGKILL')),
      ];
      report('outside', { value: children[0].exit(1) });
      for (const each of children) {
        each.start();
        const status = await Process.wait();
        report('status', { value: status && [status.code, status.signal, status.pid === each.pid] });
      }
    });
    assert.deepEqual(run.exit, OK, run.output);
    assert.deepEqual(parentValuesOf(run, 'status'), [
      [3, 0, true],
      [1, 0, true],
      [9, 0, true],
      [0, 9, true],
    ]);
    assert.deepEqual(new Set(valuesOf(run, 'outside')), new Set([false]));
  });

  it('does not keep its parent, and outlives it', async () => {
    const run = await runScript(({ swoole: { Process }, report }) => {
      const child = new Process(async (self) => {
        const parent = Number(await self.read());
        while (process.ppid === parent) await new Promise((resolve) => setTimeout(resolve, 5));
        report('alone');
      });
      child.write(String(process.pid));
      child.exportSocket();
      child.start();
    });
    assert.deepEqual(run.exit, OK, run.output);
    assert.equal(run.events('alone').length, 1);
  });

  it('that another run of the script does not come to is an error, not a second parent', async () => {
    const run = await runScript(async ({ swoole: { Process }, report }) => {
      if (process.env.TEST_RUN === undefined) {
        process.env.TEST_RUN = 'again';
        new Process(() => report('never')).start();
        report('status', { value: ((await Process.wait()) || { code: -1 }).code });
      }
    });
    assert.deepEqual(run.exit, OK, run.output);
    assert.deepEqual(valuesOf(run, 'status'), [1]);
    assert.equal(run.events('never').length, 0);
    assert.match(run.output, /process 1 was not started in this run of the script/);
  });

  it('has no timers, watches and signal handlers of its parent', async () => {
    const run = await runScript(async ({ swoole: { Process, Timer, Event }, report }) => {
      Timer.tick(1, () => report('tick'));
      Process.signal('SIGUSR2', () => report('signal'));
      Event.cycle(() => {});
      const child = new Process(
        (self) => {
          report('child', { value: [[...Timer.list()], process.listenerCount('SIGUSR2'), Event.cycle(null)] });
          self.exit();
        },
        false,
        0,
      );
      child.start();
      await Process.wait();
      report('parent', { value: [[...Timer.list()].length, process.listenerCount('SIGUSR2'), Event.cycle(null)] });
      Event.exit();
    });
    assert.deepEqual(run.exit, OK, run.output);
    assert.deepEqual(valuesOf(run, 'child'), [[[], 0, false]]);
    assert.deepEqual(valuesOf(run, 'parent'), [[1, 1, true]]);
  });

  it('is refused where the script cannot be run again, and for wrong arguments', async () => {
    const run = await runScript(({ swoole: { Process }, report }) => {
      const codeOf = (call: () => unknown): unknown => {
        try {
          return call();
        } catch (error) {
          return (error as { code: string }).code;
        }
      };
      const child = new Process(() => {});
      report('codes', {
        value: [
          codeOf(() => new Process('x' as unknown as () => void)),
          codeOf(() => new Process(() => {}, false, 3)),
          codeOf(() => child.close(9)),
          codeOf(() => child.write(5 as unknown as string)),
          codeOf(() => child.useQueue(1.5)),
          codeOf(() => child.useQueue(0, 5)),
          codeOf(() => child.exec('/bin/echo', 'x' as unknown as string[])),
          codeOf(() => child.exec('/bin/echo', ['a\0b'])),
          codeOf(() => child.setTimeout('1' as unknown as number)),
          codeOf(() => child.getPriority(3)),
          codeOf(() => child.getPriority(0, -1)),
          codeOf(() => Process.kill(1.5)),
          codeOf(() => Process.signal('SIGNOTHING' as NodeJS.Signals, null)),
          codeOf(() => Process.alarm(Number.NaN)),
          codeOf(() => Process.setAffinity(1 as unknown as number[])),
          codeOf(() => {
            process.execArgv.push('-e');
            return child.start();
          }),
        ],
      });
    });
    assert.deepEqual(run.exit, OK, run.output);
    const [codes] = valuesOf(run, 'codes') as string[][];
    assert.equal(codes.pop(), 'ERR_STATE');
    assert.deepEqual(new Set(codes), new Set(['ERR_ARGUMENT']));
  });
});

describe('the pipe of a Process', () => {
  for (const [name, type] of [
    ['of bytes', 1],
    ['of messages', 2],
  ] as const) {
    it(`${name} carries data both ways, by read and write and by its sockets`, async () => {
      const run = await runScript(async ({ swoole: { Process }, report, args }) => {
        const child = new Process(
          async (self) => {
            const socket = self.exportSocket();
            if (socket === false || self.exportSocket() !== socket) throw new Error('no socket');
            await socket.send(`socket ${await socket.recv()}`);
            self.write(`process ${await self.read()}`);
          },
          false,
          args,
        );
        report('pipe', { value: child.pipe > 2 });
        child.start();
        const socket = child.exportSocket();
        if (socket === false) throw new Error('no socket');
        report('sent', { value: await socket.send('one') });
        report('got', { value: String(await socket.recv()) });
        report('sent', { value: child.write('two') });
        report('got', { value: String(await child.read()) });
        report('last', { value: [await socket.recv(), socket.errCode] });
        await Process.wait();
        report('dead', { value: [child.write('x'), await socket.send('x'), await child.read(), socket.close()] });
        report('closed', { value: [child.close(), child.close(), child.write('x'), child.pipe] });
      }, type as number);
      assert.deepEqual(run.exit, OK, run.output);
      assert.deepEqual(valuesOf(run, 'got'), ['socket one', 'process two']);
      assert.deepEqual(valuesOf(run, 'sent'), [3, 3]);
      assert.deepEqual(valuesOf(run, 'last'), [[false, 104]]);
      assert.deepEqual(valuesOf(run, 'dead'), [[false, false, false, true]]);
      assert.deepEqual(valuesOf(run, 'closed'), [[true, false, false, -1]]);
    });
  }

  it('holds what is written before start(), once', async () => {
    const run = await runScript(async ({ swoole: { Process }, report }) => {
      const child = new Process(async (self) => {
        report('child', { value: [String(await self.read()), await self.exportSocket().valueOf()] });
        self.setBlocking(false);
        report('empty', { value: [await self.read(), self.getLastError()] });
      });
      report('written', { value: child.write('early') });
      child.start();
      await Process.wait();
    });
    assert.deepEqual(run.exit, OK, run.output);
    // The child writes as well, for its script is the same; but that goes nowhere.
    assert.deepEqual(valuesOf(run, 'written'), [5, 5]);
    assert.equal((valuesOf(run, 'child')[0] as string[])[0], 'early');
    assert.deepEqual(valuesOf(run, 'empty'), [[false, 110]]);
  });

  it('waits no longer than it is told', async () => {
    const run = await runScript(async ({ swoole: { Process }, report }) => {
      const child = new Process(async () => new Promise((resolve) => setTimeout(resolve, 60_000)));
      child.start();
      child.setTimeout(0.02);
      report('read', { value: [await child.read(), child.getLastError()] });
      let written: number | false;
      do written = child.write(Buffer.alloc(100_000));
      while (written !== false);
      report('write', { value: child.getLastError() });
      child.setBlocking(false);
      report('write', { value: [child.write('x'.repeat(100_000)), child.getLastError()] });
      Process.kill(child.pid, 9);
      await Process.wait();
    });
    assert.deepEqual(run.exit, OK, run.output);
    assert.deepEqual(valuesOf(run, 'read'), [[false, 110]]);
    assert.deepEqual(valuesOf(run, 'write'), [110, [false, 11]]);
  });

  it('is not there with type 0', async () => {
    const run = await runScript(async ({ swoole: { Process }, report }) => {
      const child = new Process(
        async (self) => {
          report('child', {
            value: [self.pipe, self.write('x'), self.exportSocket(), await self.read(), self.close()],
          });
        },
        false,
        0,
      );
      child.start();
      report('parent', { value: [child.pipe, child.write('x'), child.exportSocket(), await child.read()] });
      await Process.wait();
    });
    assert.deepEqual(run.exit, OK, run.output);
    assert.deepEqual(valuesOf(run, 'child'), [[-1, false, false, false, false]]);
    assert.deepEqual(valuesOf(run, 'parent'), [[-1, false, false, false]]);
  });

  it('can be closed by halves', async () => {
    const run = await runScript(async ({ swoole: { Process }, report }) => {
      const child = new Process(
        async (self) => {
          const all = [];
          for (let data = await self.read(); data !== false; data = await self.read()) all.push(String(data));
          self.write(all.join(''));
        },
        false,
        1,
      );
      child.start();
      child.write('question');
      report('closed', { value: child.close(Process.PIPE_WRITE) });
      report('write', { value: child.write('more') });
      report('answer', { value: String(await child.read()) });
      await Process.wait();
    });
    assert.deepEqual(run.exit, OK, run.output);
    assert.deepEqual(valuesOf(run, 'closed'), [true]);
    assert.deepEqual(valuesOf(run, 'write'), [false]);
    assert.deepEqual(valuesOf(run, 'answer'), ['question']);
  });

  it('is the input and output of a child with redirect_stdin_and_stdout, however much it says', async () => {
    const run = await runScript(async ({ swoole: { Process }, report }) => {
      const child = new Process((self) => {
        console.log('hello');
        process.stdout.write('x'.repeat(3_000_000));
        self.write('end');
      }, true);
      child.start();
      const socket = child.exportSocket();
      if (socket === false) throw new Error('no socket');
      let text = '';
      for (let data = await socket.recv(); data !== false; data = await socket.recv()) text += data;
      report('text', { value: [text.slice(0, 7), text.length, text.includes('end')] });
      await Process.wait();
    });
    assert.deepEqual(run.exit, OK, run.output);
    assert.deepEqual(valuesOf(run, 'text'), [['hello\nx', 3_000_009, true]]);
  });
});

describe('exec()', () => {
  it('lets another program take the child over', async () => {
    const run = await runScript(async ({ swoole: { Process }, report }) => {
      const child = new Process((self) => {
        report('before');
        report('failed', { value: [self.exec('/nowhere/at/all'), self.getLastError()] });
        self.exec('/bin/sh', ['-c', 'echo "$0 $1 $2: $$"; cat; exit 5', 'a', 'b c', 3]);
      }, true);
      child.start();
      child.write('through cat');
      child.close(Process.PIPE_WRITE);
      let text = '';
      for (let data = await child.read(); data !== false; data = await child.read()) text += data;
      report('text', { value: text });
      report('status', { value: await Process.wait() });
      report('outside', { value: child.exec('/bin/true') });
    });
    assert.deepEqual(run.exit, OK, run.output);
    const { pid } = run.events('before')[0];
    assert.deepEqual(valuesOf(run, 'failed'), [[false, 2]]);
    assert.deepEqual(valuesOf(run, 'text'), [`a b c 3: ${pid}\nthrough cat`]);
    assert.deepEqual(valuesOf(run, 'status'), [{ pid, code: 5, signal: 0 }]);
    assert.deepEqual(valuesOf(run, 'outside'), [false]);
  });

  it('leaves the next program neither descriptors nor ignored signals', async () => {
    const run = await runScript(async ({ swoole: { Process }, report }) => {
      const child = new Process((self) => {
        self.exec('/bin/sh', ['-c', 'ls -l /proc/$$/fd | grep -c socket; grep SigIgn /proc/$$/status']);
      }, true);
      child.start();
      let text = '';
      for (let data = await child.read(); data !== false; data = await child.read()) text += data;
      report('text', { value: text });
      await Process.wait();
    });
    assert.deepEqual(run.exit, OK, run.output);
    assert.deepEqual(valuesOf(run, 'text'), ['3\nSigIgn:\t0000000000000000\n']);
  });
});

describe('the message queue of a Process', () => {
  it('is one for all, whoever is first; push and pop wait', async () => {
    const run = await runScript(async ({ swoole: { Process }, report }) => {
      const work = async (self: InstanceType<typeof Process>): Promise<void> => {
        self.write('ready');
        for (let data = await self.pop(); String(data) !== 'stop'; data = await self.pop()) {
          report('job', { value: Number(data) });
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
      };
      const children = [1, 2].map(() => {
        const each = new Process(work);
        each.useQueue();
        return each;
      });
      const [first] = children;
      report('key', { value: [first.msgQueueId >= 0, first.msgQueueId === children[1].msgQueueId] });
      await first.push('0');
      for (const each of children) each.start();
      for (const each of children) await each.read();
      // Far more than the queue can hold.
      const pushes = Array.from({ length: 300 }, (_, i) => first.push(String(i + 1).padStart(200)));
      report('pushed', { value: (await Promise.all(pushes)).every(Boolean) });
      for (const each of children) await each.push('stop');
      for (const _ of children) await Process.wait();
      report('status', { value: first.statQueue() });
      report('freed', { value: [first.freeQueue(), first.freeQueue(), first.statQueue(), await first.push('x')] });
    });
    assert.deepEqual(run.exit, OK, run.output);
    const jobs = run.events('job');
    assert.deepEqual(
      jobs.map(({ value }) => value).sort((a, b) => a - b),
      Array.from({ length: 301 }, (_, i) => i),
    );
    assert.equal(new Set(jobs.map(({ pid }) => pid)).size, 2, 'both work');
    assert.deepEqual(valuesOf(run, 'status'), [{ queue_num: 0, queue_bytes: 0 }]);
    assert.deepEqual(valuesOf(run, 'freed'), [[true, false, false, false]]);
  });

  it('gives each its own messages with SWOOLE_MSGQUEUE_ORIENT', async () => {
    const run = await runScript(async ({ swoole: { Process, SWOOLE_MSGQUEUE_ORIENT }, report }) => {
      const children = ['a', 'b'].map((name) => {
        const each = new Process(async (self) => {
          report('got', { value: [name, String(await self.pop()), String(await self.pop())] });
        });
        each.useQueue(0, SWOOLE_MSGQUEUE_ORIENT);
        return each;
      });
      for (const each of children) each.start();
      for (const [index, each] of children.entries()) for (const n of [1, 2]) await each.push(`${index}:${n}`);
      for (const _ of children) await Process.wait();
      children[0].freeQueue();
    });
    assert.deepEqual(run.exit, OK, run.output);
    assert.deepEqual(valuesOf(run, 'got').sort(), [
      ['a', '0:1', '0:2'],
      ['b', '1:1', '1:2'],
    ]);
  });

  it('answers at once with IPC_NOWAIT, and has a capacity', async () => {
    const run = await runScript(async ({ swoole: { Process, SWOOLE_MSGQUEUE_BALANCE }, report }) => {
      const queue = new Process(() => {});
      report('none', { value: [await queue.pop(), await queue.push('x'), queue.statQueue(), queue.freeQueue()] });
      queue.useQueue(0, SWOOLE_MSGQUEUE_BALANCE | Process.IPC_NOWAIT, 10);
      report('empty', { value: [await queue.pop(), queue.getLastError()] });
      report('full', { value: [await queue.push('1234567890'), await queue.push('1'), queue.getLastError()] });
      report('cut', { value: [String(await queue.pop(4)), await queue.push('')] });
      report('big', { value: [await queue.push('x'.repeat(65_536)), queue.getLastError()] });
      queue.freeQueue();
      report('late', { value: [await queue.pop()] });
    });
    assert.deepEqual(run.exit, OK, run.output);
    assert.deepEqual(valuesOf(run, 'none'), [[false, false, false, false]]);
    assert.deepEqual(valuesOf(run, 'empty'), [[false, 42]]);
    assert.deepEqual(valuesOf(run, 'full'), [[true, false, 11]]);
    assert.deepEqual(valuesOf(run, 'cut'), [['1234', false]]);
    assert.deepEqual(valuesOf(run, 'big'), [[false, 90]]);
    assert.deepEqual(valuesOf(run, 'late'), [[false]]);
  });

  it('stays freed, whatever its processes do later', async () => {
    const key = 0x5000_0000 + process.pid;
    const run = await runScript(
      async ({ swoole: { Process }, report, args }) => {
        const child = new Process(async (self) => {
          report('child', { value: [self.statQueue(), await self.push('x'), await self.pop(), self.freeQueue()] });
        });
        child.useQueue(args.key);
        child.start();
        // Long before the child has come here.
        report('freed', { value: child.freeQueue() });
        report('ended', { value: ((await Process.wait()) as { code: number }).code });
      },
      { key },
    );
    assert.deepEqual(run.exit, OK, run.output);
    assert.deepEqual(parentValuesOf(run, 'freed'), [true]);
    assert.deepEqual(valuesOf(run, 'child'), [[false, false, false, false]]);
    assert.deepEqual(valuesOf(run, 'ended'), [0]);
    assert.equal(findMessageQueue(key), -ENOENT);
  });

  it('is one for all processes also where the command names the script without its ending', async () => {
    const run = await runScript(
      async ({ report, args }) => {
        const { execFileSync } = await import('node:child_process');
        const { writeFileSync } = await import('node:fs');
        const script = (library: string): void => {
          void import(library).then(async ({ Process }) => {
            const child = new Process(async (self: { pop(): Promise<Buffer> }) =>
              console.log(String(await self.pop())),
            );
            child.useQueue();
            child.start();
            await child.push('from the parent');
            await Process.wait();
            child.freeQueue();
          });
        };
        writeFileSync('script.js', `(${script})(${JSON.stringify(args.library)});`);
        report('output', { value: execFileSync(process.execPath, ['script'], { encoding: 'utf8', timeout: 10_000 }) });
      },
      { library: new URL('../../src/index.ts', import.meta.url).href },
    );
    assert.deepEqual(run.exit, OK, run.output);
    assert.deepEqual(valuesOf(run, 'output'), ['from the parent\n']);
  });

  it('lets go who waits for it when it is freed', async () => {
    const run = await runScript(async ({ swoole: { Process }, report }) => {
      const queue = new Process(() => {});
      queue.useQueue();
      const waiting = queue.pop();
      report('freed', { value: queue.freeQueue() });
      report('popped', { value: await waiting });
    });
    assert.deepEqual(run.exit, OK, run.output);
    assert.deepEqual(valuesOf(run, 'popped'), [false]);
  });
});

describe('Process.wait()', () => {
  it('answers from a handler of SIGCHLD, each child once', async () => {
    const run = await runScript(async ({ swoole: { Process, Timer }, report }) => {
      report('none', { value: [await Process.wait(), await Process.wait(false)] });
      const children = [1, 2, 3].map((code) => new Process((self) => self.exit(code)));
      for (const each of children) each.start();
      report('early', { value: await Process.wait(false) });
      let left = children.length;
      const timer = Timer.tick(60_000, () => {});
      Process.signal('SIGCHLD', async () => {
        for (let status = await Process.wait(false); status !== false; status = await Process.wait(false)) {
          report('status', { value: status.code });
          if (--left === 0 && timer !== false) Timer.clear(timer);
        }
      });
    });
    assert.deepEqual(run.exit, OK, run.output);
    assert.deepEqual(valuesOf(run, 'status').sort(), [1, 2, 3]);
    assert.deepEqual(valuesOf(run, 'early'), [false]);
  });
});

describe('signals', () => {
  it('have one callback each, by number or name', async () => {
    const run = await runScript(async ({ swoole: { Process, Timer }, report }) => {
      Timer.after(30_000, () => process.exit(1));
      const got: unknown[] = [];
      const next = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 30));
      report('set', {
        value: [
          Process.signal('SIGUSR2', (signal) => got.push(['old', signal])),
          Process.signal(12, (signal) => got.push(['new', signal])),
        ],
      });
      report('kill', { value: Process.kill(process.pid, 'SIGUSR2') });
      await next();
      report('off', { value: [Process.signal(12, null), Process.signal(12, null), process.listenerCount('SIGUSR2')] });
      report('never', { value: [Process.signal('SIGKILL', () => {}), Process.signal(99, () => {})] });
      report('exists', {
        value: [Process.kill(process.pid, 0), Process.kill(2 ** 22 + 5, 0), Process.kill(2 ** 22 + 5)],
      });
      report('got', { value: got });
      Timer.clearAll();
    });
    assert.deepEqual(run.exit, OK, run.output);
    assert.deepEqual(valuesOf(run, 'set'), [[true, true]]);
    assert.deepEqual(valuesOf(run, 'got'), [[['new', 12]]]);
    assert.deepEqual(valuesOf(run, 'off'), [[true, false, 0]]);
    assert.deepEqual(valuesOf(run, 'never'), [[false, false]]);
    assert.deepEqual(valuesOf(run, 'exists'), [[true, false, false]]);
  });

  it('come by themselves with alarm(), until it is taken back', async () => {
    const run = await runScript(async ({ swoole: { Process, Timer }, report }) => {
      let alarms = 0;
      const timer = Timer.tick(60_000, () => {});
      Process.signal('SIGALRM', (signal) => {
        if (++alarms < 5) return;
        report('off', { value: [signal, Process.alarm(-1)] });
        Process.signal('SIGALRM', null);
        if (timer !== false) Timer.clear(timer);
      });
      report('on', { value: Process.alarm(10_000) });
    });
    assert.deepEqual(run.exit, OK, run.output);
    assert.deepEqual(valuesOf(run, 'on'), [true]);
    assert.deepEqual(valuesOf(run, 'off'), [[14, true]]);
  });
});

describe('what a process is to the kernel', () => {
  it('can be named, given a priority, and tied to processors', async () => {
    const run = await runScript(async ({ swoole: { Process, PRIO_PROCESS, PRIO_PGRP, PRIO_USER }, report }) => {
      const child = new Process(async (self) => {
        const all = Process.getAffinity();
        const [cpu] = all || [0];
        self.name('a-name');
        report('child', {
          value: [
            process.title,
            Process.setAffinity([cpu]),
            Process.getAffinity(),
            Process.setAffinity([]),
            Process.setAffinity([1023]),
            cpu,
          ],
        });
        await self.read();
        report('priority', { value: self.getPriority(PRIO_PROCESS) });
      });
      child.start();
      report('set', { value: [child.setPriority(PRIO_PROCESS, 5), child.getPriority(PRIO_PROCESS)] });
      report('set', {
        value: [child.setPriority(PRIO_PROCESS, 6, child.pid), child.getPriority(PRIO_PROCESS, child.pid)],
      });
      // Without an id these would be about everybody else, too.
      for (const which of [PRIO_PGRP, PRIO_USER])
        report('nobody', { value: [child.getPriority(which), child.getLastError()] });
      report('group', { value: typeof child.getPriority(PRIO_PGRP, 0) });
      child.write('go');
      await Process.wait();
      report('gone', { value: [child.getPriority(PRIO_PROCESS), child.getLastError()] });
    });
    assert.deepEqual(run.exit, OK, run.output);
    const [child] = valuesOf(run, 'child') as unknown[][];
    const cpu = child.pop();
    assert.deepEqual(child, ['a-name', true, [cpu], false, false]);
    assert.deepEqual(valuesOf(run, 'set'), [
      [true, 5],
      [true, 6],
    ]);
    assert.deepEqual(valuesOf(run, 'nobody'), [
      [false, 22],
      [false, 22],
    ]);
    assert.deepEqual(valuesOf(run, 'group'), ['number']);
    assert.deepEqual(valuesOf(run, 'priority'), [6]);
    assert.deepEqual(valuesOf(run, 'gone'), [[false, 3]]);
  });

  it('can become a daemon, which is another process', async () => {
    const run = await runScript(({ swoole: { Process }, report }) => {
      report('before');
      report('daemon', { value: [Process.daemon(false, false), Process.daemon(), process.cwd()] });
    });
    assert.deepEqual(run.exit, OK, run.output);
    const [first, second] = run.events('before');
    assert.notEqual(first.pid, second.pid);
    assert.deepEqual(valuesOf(run, 'daemon'), [[true, true, '/']]);
    assert.equal(run.events('daemon')[0].pid, second.pid);
    await until(() => !isAlive(second.pid), 'the end of the daemon');
  });
});
