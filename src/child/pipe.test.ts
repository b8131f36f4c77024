import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { within } from '../../test/support/until.ts';
import { EAGAIN, EBADF, ECONNRESET, EINVAL, EPIPE, ETIMEDOUT } from '../sys/constants.ts';
import { closeDescriptor } from '../sys/socket.ts';
import { ProcessFailure } from './failure.ts';
import { PIPE_BYTES, PIPE_MASTER, PIPE_MESSAGES, PIPE_NONE, PIPE_READ, PIPE_WORKER, ProcessPipe } from './pipe.ts';

const warnings: string[] = [];
const heard = ({ message }: Error): void => void warnings.push(message);

const open: ProcessPipe[] = [];
beforeEach(() => {
  warnings.length = 0;
  process.on('warning', heard);
});
afterEach(() => {
  process.off('warning', heard);
  for (const pipe of open.splice(0)) pipe.attach(-1, false);
});

function pipeOf(type: number): { pipe: ProcessPipe; failure: ProcessFailure } {
  const failure = new ProcessFailure(7);
  const pipe = new ProcessPipe(type, failure);
  open.push(pipe);
  return { pipe, failure };
}

/** Both ends, each in an object of its own, as parent and child have them. */
function ends(type: number): { parent: ProcessPipe; child: ProcessPipe; failure: ProcessFailure } {
  const { pipe: parent, failure } = pipeOf(type);
  const { pipe: child } = pipeOf(type);
  const pair = parent.create();
  parent.attach(pair.parent, false);
  child.attach(pair.child, true);
  return { parent, child, failure };
}

async function warned(): Promise<string> {
  await new Promise((resolve) => setImmediate(resolve));
  return warnings.join('\n');
}

describe('the pipe of a process', () => {
  it('is made when it is first asked for, with both ends here', () => {
    const { pipe } = pipeOf(PIPE_MESSAGES);
    const end = pipe.end();
    assert.ok(end !== null && end.fd > 2);
    assert.equal(pipe.end(), end);
    const forChild = pipe.endForChild();
    assert.ok(forChild !== null && forChild > 2 && forChild !== end.fd);
  });

  it('is there for each child anew', () => {
    const { pipe } = pipeOf(PIPE_BYTES);
    const first = pipe.end();
    assert.notEqual(pipe.endForChild(), null);
    assert.equal(pipe.closeChildEnd(), true);
    assert.notEqual(pipe.endForChild(), null);
    assert.notEqual(pipe.end(), first);
    assert.equal(first?.fd, -1, 'the old end is closed');
  });

  it('is not there without one, and not where others hold the ends', async () => {
    for (const make of [
      () => pipeOf(PIPE_NONE),
      () => {
        const made = pipeOf(PIPE_MESSAGES);
        made.pipe.leaveToOthers();
        return made;
      },
    ]) {
      const { pipe, failure } = make();
      assert.equal(pipe.end(), null);
      assert.equal(pipe.endForChild(), null);
      assert.equal(pipe.write('x'), false);
      assert.equal(failure.code, EBADF);
      assert.equal(await pipe.read(), false);
      assert.equal(pipe.export(), false);
      assert.equal(pipe.close(0), false);
      assert.match(await warned(), /^Process #7: there is no pipe to write to \(errno 9\)$/m);
    }
  });

  it('carries messages, and what one writes at once is read at once', async () => {
    const { parent, child } = ends(PIPE_MESSAGES);
    assert.equal(parent.write('one'), 3);
    assert.equal(parent.write('three'), 5);
    assert.equal(String(await child.read()), 'one');
    assert.equal(String(await child.read(2)), 'th', 'of a longer message the rest is lost');
    assert.equal(child.write('back'), 4);
    assert.equal(String(await parent.read()), 'back');
  });

  it('carries bytes, and reads what has arrived', async () => {
    const { parent, child } = ends(PIPE_BYTES);
    parent.write('one');
    parent.write('three');
    assert.equal(String(await child.read(2)), 'on');
    assert.equal(String(await child.read()), 'ethree');
  });

  it('has nothing to write of nothing', async () => {
    const { parent, failure } = ends(PIPE_BYTES);
    assert.equal(parent.write(''), false);
    assert.equal(failure.code, EINVAL);
    assert.match(await warned(), /there is nothing to write/);
  });

  it('that is full holds the writer as long as it may, and tells what was written', () => {
    const { parent, failure } = ends(PIPE_BYTES);
    parent.timeout = 0.05;
    const much = Buffer.alloc(10_000_000);
    const began = performance.now();
    const sent = parent.write(much);
    assert.ok(performance.now() - began >= 49);
    assert.ok(sent !== false && sent > 0 && sent < much.length, `${sent}`);
    assert.equal(failure.code, ETIMEDOUT);
    assert.equal(parent.write('more'), false);
    parent.blocking = false;
    assert.equal(parent.write('more'), false);
    assert.equal(failure.code, EAGAIN);
  });

  it('that is empty lets the reader wait as long as it may', async () => {
    const { parent, child, failure } = ends(PIPE_MESSAGES);
    parent.timeout = 0.02;
    assert.equal(await within(parent.read(), 'an answer'), false);
    assert.equal(failure.code, ETIMEDOUT);
    const waiting = parent.read();
    child.write('in time');
    assert.equal(String(await waiting), 'in time');
    parent.blocking = false;
    assert.equal(await within(parent.read(), 'an answer'), false);
  });

  it('tells of the end of the other one', async () => {
    const { parent, child, failure } = ends(PIPE_MESSAGES);
    child.close(0);
    assert.equal(await parent.read(), false);
    assert.equal(failure.code, ECONNRESET);
    assert.equal(parent.write('x'), false);
    assert.equal(failure.code, EPIPE);
  });

  it('closes the end that is meant: ours, the other one, or a direction', async () => {
    const one = ends(PIPE_BYTES);
    assert.equal(one.parent.close(PIPE_READ), true);
    assert.equal(await one.parent.read(), false);
    assert.equal(one.parent.write('still'), 5);
    // The child's end is not here.
    assert.equal(one.parent.close(PIPE_WORKER), false);
    assert.equal(one.failure.code, EBADF);
    assert.equal(one.parent.close(PIPE_MASTER), true);
    assert.equal(one.parent.end(), null);
    assert.equal(one.child.close(PIPE_MASTER), false);
    assert.equal(one.child.close(PIPE_WORKER), true);

    const { pipe } = pipeOf(PIPE_BYTES);
    assert.notEqual(pipe.end(), null);
    assert.equal(pipe.close(PIPE_WORKER), true);
    assert.equal(pipe.close(PIPE_WORKER), false);
    assert.throws(() => pipe.close(5), { code: 'ERR_ARGUMENT' });
  });

  it('is exported once, and stays when that is closed', async () => {
    const { parent, child } = ends(PIPE_MESSAGES);
    const exported = parent.export();
    assert.ok(exported !== false);
    assert.equal(parent.export(), exported);
    assert.notEqual(exported.fd, parent.end()?.fd);
    assert.equal(exported.close(), true);
    assert.equal(parent.write('here'), 4);
    assert.equal(String(await child.read()), 'here');
    assert.notEqual(parent.export(), exported);
  });

  it('takes nothing over with descriptor -1', () => {
    const { pipe } = pipeOf(PIPE_MESSAGES);
    const { parent, child } = pipe.create();
    closeDescriptor(child);
    pipe.attach(parent, false);
    pipe.attach(-1, false);
    assert.equal(pipe.end(), null);
  });
});
