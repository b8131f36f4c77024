import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { prng } from '../../test/support/prng.ts';
import { assertBytes, type Served, Stage } from '../../test/support/reactor.ts';
import { SWOOLE_SOCK_TCP, SWOOLE_SOCK_UNIX_STREAM } from '../constants.ts';
import { CLOSE_ERRNO, QUEUED_FILES } from '../shm/connections.ts';
import {
  EACCES,
  EAGAIN,
  ECONNRESET,
  EHOSTUNREACH,
  EINTR,
  EINVAL,
  EIO,
  ENOBUFS,
  ENOENT,
  ENOSYS,
  ENOTCONN,
  EPERM,
  EPIPE,
  ETIMEDOUT,
} from '../sys/constants.ts';
import { BLOCKED_RETRY_MS, FILE_QUANTUM_BYTES, FILE_TURN_BYTES, FILES_OPEN_MAX } from './limits.ts';

const BYTES = prng(1).bytes(300_000);

/** A connection, a client, and a file of 300,000 bytes. */
function stageWithFile(socketType = SWOOLE_SOCK_TCP, refusesSendfile = 0) {
  const stage = new Stage({ ports: [{ socketType }] });
  const file = stage.kernel.file('/file', Buffer.from(BYTES), refusesSendfile);
  return { stage, file, ...stage.connect() };
}

function files(stage: Stage, { connection }: Served): number {
  return stage.table.words[connection.base + QUEUED_FILES];
}

/** The connection ends here, with what the log says and with an errno in its slot. */
function assertFailed(stage: Stage, served: Served, text: RegExp, error: number): void {
  assert.match(stage.logged.join(), text);
  assert.equal(served.closes, 1);
  assert.equal(stage.table.words[served.connection.base + CLOSE_ERRNO], error);
  stage.pass(10_000);
  stage.assertClean();
}

describe('a file', () => {
  it('is sent in order with what was sent before and behind it', () => {
    for (const socketType of [SWOOLE_SOCK_TCP, SWOOLE_SOCK_UNIX_STREAM]) {
      const { stage, client, served } = stageWithFile(socketType);
      stage.send(served, 'before');
      stage.reactor.sendFile(served.connection, '/file', 0, 300_000);
      stage.send(served, 'between');
      stage.reactor.sendFile(served.connection, '/file', 10, 5);
      stage.send(served, 'behind');
      const wanted = [
        Buffer.from('before'),
        BYTES,
        Buffer.from('between'),
        BYTES.subarray(10, 15),
        Buffer.from('behind'),
      ];
      assertBytes(stage.readAll(client), Buffer.concat(wanted));
      assert.equal(files(stage, served), 0);
      stage.close(served);
      stage.assertClean();
    }
  });

  it('lets others have their turn', () => {
    const stage = new Stage();
    stage.kernel.file('/big', Buffer.alloc(FILE_TURN_BYTES * 2));
    const all = [stage.connect(), stage.connect()];
    for (const { client, served } of all) {
      client.server.sendRoom = FILE_TURN_BYTES * 3;
      stage.reactor.sendFile(served.connection, '/big', 0, FILE_TURN_BYTES * 2);
    }
    stage.turn();
    for (const { client } of all) assert.ok(client.server.unsent() > FILE_QUANTUM_BYTES);
    const sent = all.map(({ client }) => client.read());
    assert.equal(sent[0] + sent[1], FILE_TURN_BYTES);
    assert.ok(stage.reactor.hasReady);
    for (const { client } of all) assert.equal(stage.readAll(client).length, FILE_TURN_BYTES * 2);
  });

  it('among many is opened only when it is its turn', () => {
    const { stage, client, served } = stageWithFile();
    const before = stage.kernel.open().length;
    for (let i = 0; i < FILES_OPEN_MAX + 10; i++) stage.reactor.sendFile(served.connection, '/file', i, 20_000);
    assert.equal(stage.kernel.open().length, before + FILES_OPEN_MAX);
    assert.equal(files(stage, served), FILES_OPEN_MAX + 10);
    const wanted = Array.from({ length: FILES_OPEN_MAX + 10 }, (_, i) => BYTES.subarray(i, i + 20_000));
    assertBytes(stage.readAll(client), Buffer.concat(wanted));
    assert.equal(stage.kernel.open().length, before);
  });

  it('is closed with its connection', () => {
    const { stage, client, served } = stageWithFile();
    for (let i = 0; i < 5; i++) stage.reactor.sendFile(served.connection, '/file', 0, 300_000);
    stage.settle();
    client.reset();
    stage.settle();
    assert.equal(served.closes, 1);
    stage.assertClean();
  });

  it('for a connection that has ended is never opened', () => {
    const { stage, client, served } = stageWithFile();
    client.reset();
    stage.settle();
    stage.reactor.sendFile(served.connection, '/file', 0, 300_000);
    stage.assertClean();
  });

  it('that cannot be opened ends the connection there, behind what came before', () => {
    for (const error of [ENOENT, EACCES]) {
      const { stage, client, served } = stageWithFile();
      stage.kernel.files.set('/secret', error);
      stage.send(served, 'before');
      stage.reactor.sendFile(served.connection, '/secret', 0, 10);
      stage.send(served, 'never');
      assert.equal(stage.readAll(client).toString(), 'before');
      assert.ok(client.ended);
      assertFailed(stage, served, new RegExp(`cannot send the file "/secret".*errno ${error}`), error);
    }
  });

  it('that has become shorter ends the connection there', () => {
    const { stage, file, client, served } = stageWithFile();
    stage.reactor.sendFile(served.connection, '/file', 0, 300_000);
    stage.send(served, 'never');
    stage.turn();
    file.bytes = file.bytes.subarray(0, 200_000);
    assertBytes(stage.readAll(client), BYTES.subarray(0, 200_000));
    assertFailed(stage, served, /has become shorter: it ended after 200000 of 300000 bytes/, EIO);
  });
});

describe('sendfile()', () => {
  it('that is refused, interrupted or has no memory goes on', () => {
    for (const socketType of [SWOOLE_SOCK_TCP, SWOOLE_SOCK_UNIX_STREAM])
      for (const errors of [[EAGAIN], [EINTR, EINTR], [ENOBUFS, ENOBUFS], [ENOBUFS, EAGAIN, EINTR, ENOBUFS]]) {
        const { stage, client, served } = stageWithFile(socketType);
        stage.kernel.script.fail('sendfile', ...errors);
        stage.reactor.sendFile(served.connection, '/file', 0, 300_000);
        stage.send(served, 'behind');
        stage.pass(4 * BLOCKED_RETRY_MS);
        assertBytes(stage.readAll(client), Buffer.concat([BYTES, Buffer.from('behind')]));
        stage.close(served);
        stage.assertClean();
      }
  });

  it('that has no memory is not tried all the time', () => {
    const { stage, client, served } = stageWithFile();
    stage.kernel.script.fail('sendfile', ...new Array<number>(100).fill(ENOBUFS));
    stage.reactor.sendFile(served.connection, '/file', 0, 300_000);
    stage.pass(99 * BLOCKED_RETRY_MS);
    assert.ok(!stage.reactor.hasReady);
    assert.equal(client.read(), 0);
    stage.pass(2 * BLOCKED_RETRY_MS);
    assertBytes(stage.readAll(client), BYTES);
  });

  it('that comes short goes on', () => {
    const { stage, client, served } = stageWithFile();
    stage.kernel.script.shorten('sendfile', 1, 1000, 3);
    stage.reactor.sendFile(served.connection, '/file', 0, 300_000);
    assertBytes(stage.readAll(client), BYTES);
  });

  it('to a peer that has gone gives the file up', () => {
    for (const error of [EPIPE, ECONNRESET, ETIMEDOUT, EHOSTUNREACH]) {
      const { stage, served } = stageWithFile();
      const told: boolean[] = [];
      stage.kernel.script.fail('sendfile', error);
      stage.reactor.sendFile(served.connection, '/file', 0, 300_000);
      stage.reactor.whenSent(served.connection, (sent) => told.push(sent));
      stage.settle();
      assert.deepEqual(told, [false]);
      assert.deepEqual(stage.logged, []);
      assert.equal(served.closes, 1);
      stage.assertClean();
    }
  });

  it('on a socket that is not connected any more gives the file up, and waits for the end', () => {
    const { stage, client, served } = stageWithFile();
    stage.kernel.script.fail('sendfile', ENOTCONN);
    stage.reactor.sendFile(served.connection, '/file', 0, 300_000);
    stage.settle();
    assert.equal(files(stage, served), 0);
    assert.deepEqual(stage.logged, []);
    client.close();
    stage.settle();
    assert.equal(served.closes, 1);
    stage.assertClean();
  });

  it('that fails because of the file ends the connection', () => {
    for (const error of [EIO, EPERM]) {
      const { stage, client, served } = stageWithFile();
      stage.kernel.script.shorten('sendfile', 10);
      stage.kernel.script.fail('sendfile', error);
      stage.reactor.sendFile(served.connection, '/file', 0, 300_000);
      stage.settle();
      assertFailed(stage, served, new RegExp(`errno ${error}`), error);
      client.read();
      assert.ok(client.ended);
    }
  });

  it('that the file system does not know is replaced by reading', () => {
    for (const error of [EINVAL, ENOSYS]) {
      const { stage, client, served } = stageWithFile(SWOOLE_SOCK_TCP, error);
      stage.send(served, 'before');
      stage.reactor.sendFile(served.connection, '/file', 1000, 200_000);
      stage.send(served, 'behind');
      const wanted = [Buffer.from('before'), BYTES.subarray(1000, 201_000), Buffer.from('behind')];
      assertBytes(stage.readAll(client), Buffer.concat(wanted));
      stage.close(served);
      stage.assertClean();
    }
  });

  it('replaced by reading ends the connection when that fails', () => {
    const { stage, client, served } = stageWithFile(SWOOLE_SOCK_TCP, EINVAL);
    stage.kernel.script.fail('readFile', 0, EIO);
    stage.reactor.sendFile(served.connection, '/file', 0, 300_000);
    assert.equal(stage.readAll(client).length, 65536);
    assertFailed(stage, served, /after 65536 of 300000 bytes/, EIO);
  });

  it('replaced by reading notices that the file has become shorter', () => {
    const { stage, file, client, served } = stageWithFile(SWOOLE_SOCK_TCP, EINVAL);
    file.bytes = file.bytes.subarray(0, 100_000);
    stage.reactor.sendFile(served.connection, '/file', 0, 300_000);
    assert.equal(stage.readAll(client).length, 100_000);
    assertFailed(stage, served, /it ended after 100000 of 300000 bytes/, EIO);
  });
});
