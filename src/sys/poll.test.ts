import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';

const url = (file: string): string => JSON.stringify(new URL(file, import.meta.url));

/** Runs a thread that watches a readable descriptor; tells what it said, its exit code, and that the process lives on. */
function threadThat(onReadable: string, onMessage = ''): string {
  const thread = `
    const { parentPort } = require('node:worker_threads');
    Promise.all([import(${url('./eventfd.ts')}), import(${url('./libc.ts')})]).then(([{ createEventfd, ringEventfd }, { watchReadable }]) => {
      const fd = createEventfd();
      const say = (text) => parentPort.postMessage(text);
      let calls = 0;
      const watch = watchReadable(fd, () => { calls++; ${onReadable} });
      ringEventfd(fd);
    });`;
  // Where nobody else has loaded koffi, Node unloads it with the thread, and too early.
  const main = `
    import(${url('./libc.ts')}).then(() => {
      const { Worker } = require('node:worker_threads');
      const thread = new Worker(${JSON.stringify(thread)}, { eval: true });
      thread.on('message', (text) => { console.log(text); ${onMessage} });
      thread.on('exit', (code) => console.log(code) ?? setTimeout(() => console.log('lives'), 50));
    });`;
  const { stdout, stderr } = spawnSync(process.execPath, ['-e', main], { encoding: 'utf8' });
  assert.equal(stderr, '');
  return stdout.trim().split('\n').join(' ');
}

describe('a thread that watches a descriptor', () => {
  it('may end inside of the callback', () => {
    assert.equal(threadThat('process.exit(3)'), '3 lives');
  });

  it('may end while the descriptor is readable', () => {
    assert.equal(threadThat('if (calls === 1) setTimeout(() => process.exit(4), 20)'), '4 lives');
  });

  it('may be terminated inside of the callback, though it hangs there', () => {
    assert.equal(threadThat("say('hangs'); for (;;);", 'thread.terminate();'), 'hangs 1 lives');
  });

  it('is called as long as the descriptor is readable', () => {
    assert.equal(threadThat('say(calls); if (calls === 3) watch.close()'), '1 2 3 0 lives');
  });

  it('runs promises behind each call, and errors are its own', () => {
    const order = "Promise.resolve().then(() => { say('promise'); watch.close(); }); say('callback')";
    assert.equal(threadThat(order), 'callback promise 0 lives');
  });

  it('is told no more once it is closed', () => {
    assert.equal(threadThat('say(calls); watch.close(); setTimeout(() => say(calls), 20)'), '1 1 0 lives');
  });
});
