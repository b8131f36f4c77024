import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { afterEach, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { until, within } from '../../test/support/until.ts';
import { EAGAIN, EIDRM, EINVAL, ENOENT, ENOMSG, IPC_PRIVATE } from './constants.ts';
import {
  findMessageQueue,
  keyOfPath,
  MESSAGE_TYPE_MAX,
  type MessageQueueStatus,
  messageQueueStatus,
  openMessageQueue,
  receiveMessage,
  removeMessageQueue,
  sendMessage,
  setMessageQueueLimit,
} from './message-queue.ts';

const MESSAGE_MAX = Number(readFileSync('/proc/sys/kernel/msgmax', 'latin1'));
const QUEUE_MAX = Number(readFileSync('/proc/sys/kernel/msgmnb', 'latin1'));
const queues: number[] = [];

afterEach(() => {
  for (const id of queues.splice(0)) removeMessageQueue(id);
});

function open(): number {
  const id = openMessageQueue(IPC_PRIVATE);
  assert.ok(id >= 0, `errno ${-id}`);
  queues.push(id);
  return id;
}

function receive(id: number, type = 0): string | number {
  const answer = { error: 0 };
  const found = receiveMessage(id, type, answer);
  return found === null ? answer.error : `${found.type}:${found.data}`;
}

function statusOf(id: number): MessageQueueStatus {
  const answer = { count: -1, bytes: -1, limit: -1 };
  assert.equal(messageQueueStatus(id, answer), 0);
  return answer;
}

const bytes = (text: string): Buffer => Buffer.from(text);

describe('a message queue', () => {
  it('gives messages in the order of their sending, with type and bounds', () => {
    const id = open();
    assert.equal(sendMessage(id, 1, bytes('one')), 0);
    assert.equal(sendMessage(id, MESSAGE_TYPE_MAX, bytes('two')), 0);
    assert.equal(sendMessage(id, 1, bytes('')), 0);
    assert.equal(receive(id), '1:one');
    assert.equal(receive(id), `${MESSAGE_TYPE_MAX}:two`);
    assert.equal(receive(id), '1:');
    assert.equal(receive(id), ENOMSG);
  });

  it('gives messages of one type only, and leaves the others where they are', () => {
    const id = open();
    sendMessage(id, 1, bytes('a'));
    sendMessage(id, 2, bytes('b'));
    sendMessage(id, 2, bytes('c'));
    assert.equal(receive(id, 2), '2:b');
    assert.equal(receive(id, 3), ENOMSG);
    assert.equal(receive(id), '1:a');
    assert.equal(receive(id), '2:c');
  });

  it('keeps every byte', () => {
    const id = open();
    const all = Uint8Array.from({ length: 256 }, (_, i) => i);
    assert.equal(sendMessage(id, 7, all), 0);
    assert.deepEqual(new Uint8Array(receiveMessage(id, 7, { error: 0 })!.data), all);
  });

  it('takes a message of msgmax bytes, and refuses a longer one', () => {
    const id = open();
    assert.equal(sendMessage(id, 1, Buffer.alloc(MESSAGE_MAX, 'x')), 0);
    assert.equal(sendMessage(id, 1, Buffer.alloc(MESSAGE_MAX + 1, 'x')), EINVAL);
    assert.equal(statusOf(id).count, 1);
    assert.equal(receiveMessage(id, 0, { error: 0 })!.data.length, MESSAGE_MAX);
  });

  it('refuses types that the kernel does not know', () => {
    const id = open();
    for (const type of [0, -1, 1.5, Number.NaN, MESSAGE_TYPE_MAX + 1]) {
      assert.equal(sendMessage(id, type, bytes('x')), EINVAL, `${type}`);
    }
    for (const type of [-1, 1.5, Number.NaN, MESSAGE_TYPE_MAX + 1]) assert.equal(receive(id, type), EINVAL, `${type}`);
    assert.equal(statusOf(id).count, 0);
  });

  it('does not wait when it is full, and takes more once there is room', () => {
    const id = open();
    const message = Buffer.alloc(Math.min(MESSAGE_MAX, 4096), 'x');
    let sent = 0;
    let error = 0;
    while (error === 0) {
      error = sendMessage(id, 1, message);
      if (error === 0) sent++;
    }
    assert.equal(error, EAGAIN);
    const status = statusOf(id);
    assert.equal(status.count, sent);
    assert.equal(status.bytes, sent * message.length);
    assert.ok(status.bytes <= status.limit && status.bytes + message.length > status.limit, JSON.stringify(status));
    receive(id);
    assert.equal(sendMessage(id, 1, message), 0);
  });

  it('tells and changes how much it may hold', () => {
    const id = open();
    assert.deepEqual(statusOf(id), { count: 0, bytes: 0, limit: QUEUE_MAX });
    assert.equal(setMessageQueueLimit(id, 10), 0);
    assert.equal(sendMessage(id, 1, bytes('0123456789')), 0);
    assert.equal(sendMessage(id, 1, bytes('0')), EAGAIN);
    assert.deepEqual(statusOf(id), { count: 1, bytes: 10, limit: 10 });
    for (const limit of [0, -5, 1.5, Number.NaN]) assert.equal(setMessageQueueLimit(id, limit), EINVAL, `${limit}`);
    assert.equal(statusOf(id).limit, 10);
  });

  it('is gone once it is removed', () => {
    const id = open();
    sendMessage(id, 1, bytes('x'));
    assert.equal(removeMessageQueue(id), 0);
    assert.ok([EINVAL, EIDRM].includes(removeMessageQueue(id)));
    assert.ok([EINVAL, EIDRM].includes(sendMessage(id, 1, bytes('x'))));
    assert.ok([EINVAL, EIDRM].includes(receive(id) as number));
    assert.ok([EINVAL, EIDRM].includes(messageQueueStatus(id, { count: 0, bytes: 0, limit: 0 })));
    assert.ok([EINVAL, EIDRM].includes(setMessageQueueLimit(id, 10)));
  });

  it('is found by a key, by two openings', () => {
    const path = fileURLToPath(import.meta.url);
    const key = keyOfPath(path, process.pid);
    assert.notEqual(key, IPC_PRIVATE);
    assert.equal(keyOfPath(path, process.pid), key);
    const id = openMessageQueue(key);
    queues.push(id);
    assert.equal(openMessageQueue(key), id);
    assert.notEqual(open(), open());
    assert.equal(keyOfPath(`${path}.none`, 1), IPC_PRIVATE);
    assert.equal(findMessageQueue(key), id);
    assert.equal(findMessageQueue(IPC_PRIVATE), -ENOENT);
  });

  it('keeps order and loses nothing between two processes', async () => {
    const id = open();
    const count = 2000;
    const echo = child(
      `let taken = 0;
       const pass = () => {
         for (;;) {
           const found = queue.receiveMessage(${id}, 1, { error: 0 });
           if (found === null) break;
           while (queue.sendMessage(${id}, 2, found.data) !== 0);
           taken++;
         }
         if (taken < ${count}) setTimeout(pass, 1);
       };
       pass();`,
    );
    const received: string[] = [];
    let sent = 0;
    await until(() => {
      while (sent < count && sent - received.length < 50 && sendMessage(id, 1, bytes(`${sent}`)) === 0) sent++;
      for (let found = receive(id, 2); typeof found === 'string'; found = receive(id, 2)) received.push(found);
      return received.length === count;
    }, 'all messages to come back');
    assert.deepEqual(
      received,
      Array.from({ length: count }, (_, i) => `2:${i}`),
    );
    assert.deepEqual(await exitOf(echo), [0, null]);
  });

  it('outlives a process that was killed with messages in it', async () => {
    const id = open();
    const killed = child(`queue.sendMessage(${id}, 3, Buffer.from('left behind')); setInterval(() => {}, 1000);`);
    await until(() => statusOf(id).count === 1, 'the message of the child');
    killed.kill('SIGKILL');
    await exitOf(killed);
    assert.equal(receive(id, 3), '3:left behind');
  });
});

function child(code: string): ChildProcess {
  const url = new URL('./message-queue.ts', import.meta.url).href;
  const script = `const queue = await import(${JSON.stringify(url)}); ${code}`;
  return spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
}

function exitOf(process_: ChildProcess): Promise<unknown[]> {
  const { exitCode, signalCode } = process_;
  if (exitCode !== null || signalCode !== null) return Promise.resolve([exitCode, signalCode]);
  return within(once(process_, 'exit'), 'the end of the child');
}
