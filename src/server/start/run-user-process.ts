import { serverSideOf } from '../../child/process.ts';
import { SWOOLE_LOG_ERROR } from '../../constants.ts';
import { describeError } from '../../errors.ts';
import type { StartedChild } from '../../process/life/this-process.ts';
import { flushOutbox } from '../../process/life/worker-life.ts';
import { InboxWatch } from '../../process/way/inbox-watch.ts';
import { Letters } from '../../process/way/letters.ts';
import { MANAGER_INBOX, workerInbox } from '../../shm/layout.ts';
import { Inbox } from '../../shm/mailbox.ts';
import { REOPEN_LOG, WORKER_READY } from '../../shm/messages.ts';
import type { Shared } from '../state/member.ts';
import type { Plan } from '../state/plan.ts';
import type { ServerState } from '../state/running.ts';
import { begin, enter, remoteControl } from './enter.ts';

/** Its last messages get this long to find room. */
const FLUSH_MS = 1000;
/** What PHP exits with after an uncaught error, and Swoole's users look for. */
const FAILED_EXIT_CODE = 255;

/** A process of the user's: its callback, and then Node's loop until that is empty. Then the manager starts it again. */
export async function runUserProcess(
  state: ServerState,
  plan: Plan,
  shared: Shared,
  { description }: StartedChild,
): Promise<void> {
  const { script } = plan;
  const { id, lane } = description;
  const { segment, doorbells, pipes } = shared;
  const { layout } = segment;
  const equipped = enter(plan, shared, description);
  const { runtime } = equipped;
  runtime.counters.beginLife();
  begin(state, equipped, { ...remoteControl(equipped), stopSelf: () => false });

  const letters = new Letters(equipped.application);
  const inbox = new Inbox(segment, workerInbox(layout, id), doorbells, runtime.outbox);
  const watch = new InboxWatch(runtime, inbox, (message) => {
    if (message.kind === REOPEN_LOG) script.logger.reopen();
    letters.handle(message);
  });
  // The manager has freed it after the end of the one before us.
  if (!inbox.take(lane)) throw new Error(`another process reads the messages of user process ${id}`);
  runtime.holdId();
  runtime.tell(MANAGER_INBOX, WORKER_READY, id, runtime.life);
  runtime.flush();
  watch.start();
  // Messages alone do not keep it alive: its callback, timers and sockets do.
  watch.unref();
  process.on('exit', () => flushOutbox(runtime, performance.now() + FLUSH_MS));
  // Left to itself, Node would tear down what still watches the doorbell, and call a script a failure that awaits start().
  process.on('beforeExit', () => process.exit());

  const index = id - layout.workerCount - layout.taskWorkerCount;
  try {
    await serverSideOf(script.processes[index]).runAsChild(pipes[index]?.child ?? -1, id);
  } catch (error) {
    script.logger.log(SWOOLE_LOG_ERROR, `the callback of user process ${id} failed: ${describeError(error)}`);
    process.exit(FAILED_EXIT_CODE);
  }
}
