/** What `Event` does to the life of a process. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { runScript, type TestServer } from '../support/server.ts';

const OK = { code: 0, signal: null };

function valuesOf(run: TestServer, name: string): unknown[] {
  return run.events(name).map(({ value }) => value);
}

describe('a process with Event', () => {
  it('lives while a descriptor is watched, and ends with exit()', async () => {
    const run = await runScript(({ swoole: { Event, Process }, report }) => {
      const child = new Process(async (self) => {
        self.write('x');
        await self.read();
      });
      child.start();
      Event.add(child, async (descriptor) => {
        report('read', { value: [descriptor === child, String(await child.read())] });
        child.write('end');
        Event.exit();
      });
    });
    assert.deepEqual(run.exit, OK, run.output);
    assert.deepEqual(valuesOf(run, 'read'), [[true, 'x']]);
  });

  it('ends although a cycle goes on, and knows when nothing is left', async () => {
    const run = await runScript(async ({ swoole: { Event, Timer }, report }) => {
      let turns = 0;
      Event.cycle(() => turns++);
      Event.cycle(() => turns++, true);
      Timer.after(20, () => report('timer'));
      await Event.wait();
      report('nothing left', { value: turns > 0 });
    });
    assert.deepEqual(run.exit, OK, run.output);
    assert.equal(run.events('timer').length, 1);
    assert.deepEqual(valuesOf(run, 'nothing left'), [true]);
  });

  it('fails as Node does when a callback throws', async () => {
    for (const kind of ['add', 'cycle', 'defer'] as const) {
      const run = await runScript(({ swoole: { Event, Process, Timer }, args }) => {
        Timer.after(20_000, () => {});
        const fail = (): never => {
          throw new Error(`in ${args}`);
        };
        if (args === 'cycle') Event.cycle(fail);
        if (args === 'defer') Event.defer(fail);
        if (args === 'add') {
          const child = new Process(() => {});
          Event.add(child, null, fail);
        }
      }, kind as string);
      assert.deepEqual(run.exit, { code: 1, signal: null }, run.output);
      assert.match(run.output, new RegExp(`Error: in ${kind}`));
    }
  });
});
