import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { port, Stage } from '../../test/support/reactor.ts';
import { linux } from '../sys/kernel.ts';
import { ACTIVE, CLOSING, Connection, DRAINING, FREE, OPENING, type OutputChunk } from './connection.ts';
import { PlainTransport } from './transport.ts';

const PLAIN = port();
const OTHER = port({ index: 1 });
const WAY = new PlainTransport(linux);
/** Outlives the connection: the slot is in a list. */
const KEPT = new Set(['queuedToSendFile']);
const FIXED = new Set(['slot', 'base', 'numberBase']);

function keysOf(object: object): string[] {
  return Object.keys(object);
}

/** V8 is fast with objects of one shape: the same fields, in the order in which they were set. */
describe('the shape of a connection', () => {
  it('is that of a new one after every use', () => {
    const stage = new Stage();
    stage.kernel.file('/file', Buffer.alloc(1000));
    const { client, served } = stage.connect();
    const { connection } = served;
    client.server.sendRoom = 10;
    client.send('hello');
    stage.settle();
    stage.reactor.pause(connection);
    stage.send(served, Buffer.alloc(100));
    stage.reactor.sendFile(connection, '/file', 0, 1000);
    stage.reactor.whenSent(connection, () => {});
    stage.turn();
    stage.close(served);
    stage.pass(10_000);
    assert.deepEqual(keysOf(connection), keysOf(new Connection(0, 0, 0, PLAIN, WAY)));
    stage.readAll(stage.connect().client);
    assert.deepEqual(keysOf(connection), keysOf(new Connection(0, 0, 0, PLAIN, WAY)));
  });

  it('holds nothing of the connection before', () => {
    const fresh = new Connection(1, 2, 3, PLAIN, WAY);
    fresh.reset(7, 8, OTHER, WAY, null);
    const used = new Connection(1, 2, 3, PLAIN, WAY);
    for (const key of keysOf(used)) if (!FIXED.has(key) && !KEPT.has(key)) Reflect.set(used, key, 'left behind');
    used.reset(7, 8, OTHER, WAY, null);
    assert.deepEqual({ ...used }, { ...fresh });
  });
});

describe('the shape of what waits to be sent', () => {
  it('is the same for bytes, a file and a mark', () => {
    const stage = new Stage();
    stage.kernel.file('/file', Buffer.alloc(1000));
    const { client, served } = stage.connect();
    const { connection } = served;
    client.server.sendRoom = 10;
    stage.send(served, Buffer.alloc(100));
    stage.turn();
    stage.reactor.sendFile(connection, '/file', 0, 1000);
    stage.reactor.whenSent(connection, () => {});
    const chunks: OutputChunk[] = connection.output ?? [];
    assert.deepEqual(
      chunks.map(({ file, done }) => (file !== null ? 'file' : done !== null ? 'mark' : 'bytes')),
      ['bytes', 'file', 'mark'],
    );
    for (const chunk of chunks) assert.deepEqual(keysOf(chunk), ['bytes', 'start', 'end', 'file', 'done']);
  });
});

describe('the invariants of a Connection', () => {
  const broken = (change: (connection: Connection) => void): void => {
    const connection = new Connection(0, 0, 0, PLAIN, WAY);
    connection.reset(3, 4, PLAIN, WAY, null);
    connection.invariants();
    change(connection);
    assert.throws(() => connection.invariants(), /connection in slot 0, life \d, is not as it must be: /);
  };

  it('hold in each of its lives', () => {
    const connection = new Connection(0, 0, 0, PLAIN, WAY);
    connection.invariants();
    connection.reset(3, 4, PLAIN, WAY, null);
    for (const life of [OPENING, ACTIVE, CLOSING]) {
      connection.life = life;
      connection.invariants();
    }
    connection.life = DRAINING;
    connection.output = [{ bytes: Buffer.alloc(4), start: 1, end: 3, file: null, done: null }];
    connection.invariants();
    connection.life = FREE;
    connection.output = null;
    connection.invariants();
  });

  it('tell what cannot be', () => {
    broken((connection) => {
      connection.life = DRAINING;
    });
    broken((connection) => {
      connection.packetLength = 1;
    });
    broken((connection) => {
      connection.waits = true;
    });
    broken((connection) => {
      connection.life = FREE;
      connection.output = [];
    });
    broken((connection) => {
      connection.output = [{ bytes: Buffer.alloc(4), start: 3, end: 5, file: null, done: null }];
    });
    broken((connection) => {
      connection.output = [{ bytes: Buffer.alloc(4), start: 0, end: 4, file: null, done: () => {} }];
    });
  });
});
