import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { doorbellsOf, smallSegment } from '../../../test/support/shared.ts';
import { until } from '../../../test/support/until.ts';
import { Logger } from '../../log/log.ts';
import { MANAGER_LANE, workerInbox, workerLane } from '../../shm/layout.ts';
import { Inbox, Outbox } from '../../shm/mailbox.ts';
import type { Message } from '../../shm/ring.ts';
import { InboxWatch } from './inbox-watch.ts';
import { Runtime } from './runtime.ts';

const COUNT = 300;
/** Longer than this a handler holds the process. */
const SLOW_MS = 3;
/** Of such handlers so many fit into 10 ms, and the clock is looked at after every fourth only. */
const IN_A_TURN_MAX = 8;

/** Worker 0 watches its inbox; the manager and worker 1 have written `count` messages each. */
function watched(count: number, handle: (message: Message) => void): InboxWatch {
  const segment = smallSegment();
  const doorbells = doorbellsOf(segment);
  const { layout } = segment;
  const runtime = new Runtime(
    { role: 'worker', id: 0, lane: workerLane(layout, 0, 0), life: 1 },
    segment,
    doorbells,
    new Logger(),
  );
  const inbox = new Inbox(segment, workerInbox(layout, 0), doorbells);
  inbox.take(runtime.lane);
  for (const lane of [MANAGER_LANE, workerLane(layout, 1, 0)]) {
    const outbox = new Outbox(segment, lane, doorbells);
    for (let n = 0; n < count; n++) outbox.to(inbox.index).post(1, lane, n);
    outbox.flush();
  }
  return new InboxWatch(runtime, inbox, handle);
}

function holdProcess(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

describe('an InboxWatch with slow handlers', () => {
  it('lets timers and signals have their turn, and every ring', async () => {
    const lanes: number[] = [];
    const numbers = new Map<number, number>();
    /** Messages that had been handled when each of these came. */
    const timers: number[] = [];
    const signals: number[] = [];
    const watch = watched(COUNT / 2, (message) => {
      const { a: lane, b: number } = message;
      message.release();
      assert.equal(number, numbers.get(lane) ?? 0, 'in the order of each ring');
      numbers.set(lane, number + 1);
      if (lanes.push(lane) === 1) process.kill(process.pid, 'SIGWINCH');
      holdProcess(SLOW_MS);
    });
    const onSignal = (): void => {
      signals.push(lanes.length);
    };
    process.on('SIGWINCH', onSignal);
    const timer = setInterval(() => timers.push(lanes.length), 1);
    watch.start();
    await until(() => lanes.length === COUNT, 'all messages');
    clearInterval(timer);
    process.off('SIGWINCH', onSignal);
    watch.close();

    assert.ok(signals[0] <= 2 * IN_A_TURN_MAX, `the signal came after ${signals[0]} messages`);
    const gaps = timers.map((handled, n) => handled - (timers[n - 1] ?? 0));
    assert.ok(Math.max(...gaps) <= 2 * IN_A_TURN_MAX, `messages between timers: ${gaps}`);
    const half = lanes.slice(0, COUNT / 2);
    for (const lane of new Set(lanes)) {
      const share = half.filter((each) => each === lane).length;
      assert.ok(share >= COUNT / 8, `${share} of the first ${half.length} messages are of lane ${lane}`);
    }
  });

  it('does not give up its turn for fast ones', async () => {
    let handled = 0;
    let atFirstImmediate = 0;
    const watch = watched(COUNT, (message) => {
      message.release();
      handled++;
    });
    setImmediate(() => {
      atFirstImmediate = handled;
    });
    watch.start();
    await until(() => atFirstImmediate > 0, 'a turn of the loop');
    watch.close();
    // Unless the machine has stopped us for 10 ms, it is all of them.
    assert.ok(atFirstImmediate > IN_A_TURN_MAX, `${atFirstImmediate}`);
  });
});
