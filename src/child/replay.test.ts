import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';

const REPLAY = JSON.stringify(new URL('./replay.ts', import.meta.url));

/** Whether a thread replays: at first, and once the server has started there. */
function inThread(workerData?: unknown): Promise<[before: boolean, after: boolean]> {
  const code = `
    import(${REPLAY}).then(({ isReplaying, leaveReplayOfServer }) => {
      const before = isReplaying();
      leaveReplayOfServer();
      require('node:worker_threads').parentPort.postMessage([before, isReplaying()]);
    });`;
  return new Promise((resolve, reject) => {
    new Worker(code, { eval: true, workerData }).once('message', resolve).once('error', reject);
  });
}

describe('a thread that runs the script', () => {
  it('replays until the server has started there, whatever it is', async () => {
    for (const tswoole of [
      { kind: 'reactor', config: {} },
      { kind: 'worker', parent: null },
    ])
      assert.deepEqual(await inThread({ tswoole }), [true, false], tswoole.kind);
  });

  it('of the user’s acts for nobody, for the script does everything itself', async () => {
    assert.deepEqual(await inThread(), [true, true]);
  });
});
