import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertBytes, Stage } from '../../test/support/reactor.ts';
import { encodeFileMessage } from '../shm/file-message.ts';
import { FINISH_CLOSE, HAND_OVER, PAUSE, RESET, RESUME, SEND, SENDFILE, TASK } from '../shm/messages.ts';
import type { Message } from '../shm/ring.ts';
import { ECONNRESET } from '../sys/constants.ts';
import { handleOwnerMessage } from './owner-messages.ts';

/** A connection, and messages for its owner: in pieces (`bytes`), or as they lie in a ring. */
function stageWithMessages() {
  const stage = new Stage();
  stage.receiver.closesAtOnce = false;
  const { client, served } = stage.connect();
  let released = 0;
  const post = (kind: number, payload: Buffer = Buffer.alloc(0), whole = false): boolean => {
    const { memory } = stage.receiver;
    if (!whole) memory.u8.set(payload, 64);
    const message = {
      ...{ kind, a: served.slot, b: served.serial, brokenKind: 0, brokenLength: 0, lane: 0, position: 0 },
      ...{ bytes: whole ? payload : null, data: memory, offset: 64, length: payload.length },
      release: () => {
        released++;
        if (!whole) memory.u8.fill(0xff, 64, 64 + payload.length);
      },
    } satisfies Message;
    const before = released;
    const taken = handleOwnerMessage(stage.reactor, message);
    assert.equal(released, before + (taken ? 1 : 0));
    return taken;
  };
  return { stage, client, served, post };
}

describe('a message for the owner of a connection', () => {
  it('sends its bytes, which belong to somebody else once it is released', () => {
    const { stage, client, post } = stageWithMessages();
    const long = Buffer.alloc(20_000, 'x');
    for (const whole of [true, false])
      for (const bytes of [Buffer.from('short'), long]) assert.ok(post(SEND, bytes, whole));
    assertBytes(stage.readAll(client), Buffer.concat([Buffer.from('short'), long, Buffer.from('short'), long]));
  });

  it('sends a part of a file', () => {
    const { stage, client, post } = stageWithMessages();
    stage.kernel.file('/file', Buffer.from('0123456789'));
    for (const whole of [true, false]) assert.ok(post(SENDFILE, encodeFileMessage('/file', 2, 5), whole));
    assert.equal(stage.readAll(client).toString(), '2345623456');
  });

  it('pauses and resumes', () => {
    const { stage, client, served, post } = stageWithMessages();
    assert.ok(post(PAUSE));
    client.send('text');
    stage.settle();
    assert.equal(served.text, '');
    assert.ok(post(RESUME));
    stage.settle();
    assert.equal(served.text, 'text');
  });

  it('ends the connection, in peace or by a reset', () => {
    for (const kind of [FINISH_CLOSE, RESET]) {
      const { stage, client, post } = stageWithMessages();
      post(SEND, Buffer.alloc(300_000, 'x'), true);
      assert.ok(post(kind));
      const all = stage.readAll(client);
      assert.equal(client.error, kind === RESET ? ECONNRESET : 0);
      assert.equal(all.length === 300_000, kind === FINISH_CLOSE);
      // Nobody is there any more to hear of it.
      for (const late of [SEND, SENDFILE, PAUSE, RESUME, FINISH_CLOSE, RESET])
        assert.ok(post(late, Buffer.from('late')));
      stage.pass(1000);
      stage.assertClean();
    }
  });

  it('of another kind is left to others', () => {
    const { post } = stageWithMessages();
    for (const kind of [TASK, HAND_OVER]) assert.ok(!post(kind));
  });
});
