import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { doorbellsOf, smallSegment } from '../../../test/support/shared.ts';
import { SWOOLE_LOG_NONE, SWOOLE_PROCESS, SWOOLE_SERVER_COMMAND_EVENT_WORKER } from '../../constants.ts';
import { LastError } from '../../errors.ts';
import { Logger } from '../../log/log.ts';
import { Runtime } from '../../process/way/runtime.ts';
import { TaskInHand } from '../../process/way/task-in-hand.ts';
import { RingRoute, TaskSender } from '../../process/way/task-sender.ts';
import { workerInbox, workerLane } from '../../shm/layout.ts';
import { emptyLetter, readLetter } from '../../shm/letter.ts';
import { Inbox, LaneSet, type MessageHandler } from '../../shm/mailbox.ts';
import { TasksInHand } from '../../shm/tasks-in-hand.ts';
import { CommandTable } from '../messages/command-table.ts';
import { Commands } from '../messages/commands.ts';
import type { Member } from '../state/member.ts';
import { Tasks } from './tasks.ts';

const TASK_WORKER = 2;

function quiet(): Logger {
  const logger = new Logger();
  logger.configure({ level: SWOOLE_LOG_NONE });
  return logger;
}

/** Two starts of worker 0, and a task worker, all in this process: they share its pid, as threads do. */
class SharedPid {
  readonly segment = smallSegment({ taskWorkerCount: 1 });
  readonly doorbells = doorbellsOf(this.segment);
  readonly before = this.worker(0);
  readonly after = this.worker(1);
  private readonly taskWorker = this.start('task', TASK_WORKER, 0);
  private readonly hands = new TasksInHand(this.segment, this.taskWorker.lane);

  /** The task worker takes the task of one of them, and answers it. */
  answer({ runtime }: ReturnType<SharedPid['worker']>, value: unknown): void {
    this.take(this.taskWorker, runtime.lane, (reader) => {
      const { a, b, lane, position } = reader;
      const letter = emptyLetter();
      readLetter(reader, letter);
      const entry = this.hands.take(a, b, letter.life, letter.flags, lane, position);
      reader.release();
      new TaskInHand(this.taskWorker, this.hands, a, b, letter, entry).answer(value);
    });
    this.taskWorker.flush();
  }

  /** The next result for worker 0 comes to one of its starts. */
  deliver({ runtime, tasks }: ReturnType<SharedPid['worker']>): void {
    this.take(runtime, this.taskWorker.lane, (reader) => {
      const { a, b } = reader;
      const letter = emptyLetter();
      readLetter(reader, letter);
      reader.release();
      tasks.result(a >>> 0, b, letter.life, letter.flags, letter.seconds, letter.value);
    });
  }

  private take({ workerId, lane }: Runtime, from: number, handle: MessageHandler): void {
    const inbox = new Inbox(this.segment, workerInbox(this.segment.layout, workerId), this.doorbells);
    assert.ok(inbox.take(lane));
    inbox.drain(handle, 1, undefined, new LaneSet(this.segment, [[from, from + 1]]));
    inbox.give(lane);
  }

  private worker(generation: number) {
    const runtime = this.start('worker', 0, generation);
    const settings = { commandTimeoutMs: 0 };
    const script = {
      mode: SWOOLE_PROCESS,
      logger: runtime.logger,
      lastError: new LastError(),
      commands: new CommandTable(),
    };
    const member = { script, settings, runtime } as unknown as Member;
    const tasks = new Tasks(member, new TaskSender(runtime, new RingRoute(runtime), Number.POSITIVE_INFINITY));
    return { runtime, script, tasks, commands: new Commands(member) };
  }

  private start(role: 'worker' | 'task', id: number, generation: number): Runtime {
    const identity = { role, id, lane: workerLane(this.segment.layout, id, generation), life: this.segment.nextLife() };
    return new Runtime(identity, this.segment, this.doorbells, quiet());
  }
}

describe('a worker whose predecessor had the same pid', () => {
  it('drops the result of a task that the one before has sent, though its own has the same id', async () => {
    const server = new SharedPid();
    const { before, after } = server;
    void before.tasks.wait('of the one before', 0, -1);
    before.runtime.flush();
    const answers: unknown[] = [];
    const own = after.tasks.wait('its own', 0, -1).then((value) => answers.push(value));
    after.runtime.flush();
    server.answer(before, 'for the one before');
    server.deliver(after);
    await new Promise(setImmediate);
    assert.deepEqual(answers, [], 'the answer belongs to another life');
    server.answer(after, 'for itself');
    server.deliver(after);
    await own;
    assert.deepEqual(answers, ['for itself']);
  });

  it('drops the answer to a command that the one before has sent', async () => {
    const { before, after } = new SharedPid();
    after.script.commands.add('name', SWOOLE_SERVER_COMMAND_EVENT_WORKER, () => '');
    const answer = after.commands.command('name', 1, SWOOLE_SERVER_COMMAND_EVENT_WORKER, {}, true);
    after.commands.reply(0, before.runtime.life, 0, '"for the one before"');
    after.commands.reply(0, after.runtime.life, 0, '"for itself"');
    assert.equal(await answer, 'for itself');
  });
});
