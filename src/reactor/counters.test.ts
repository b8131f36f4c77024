/** Whatever a reactor refuses, stops, drops or tries again is counted, once. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Stage, type StageOptions } from '../../test/support/reactor.ts';
import { TlsClient, tlsConfig } from '../../test/support/tls-client.ts';
import { SWOOLE_SOCK_UDP } from '../constants.ts';
import { SEND } from '../shm/messages.ts';
import type { Message } from '../shm/ring.ts';
import { readStats } from '../shm/stats.ts';
import { EAGAIN, EINTR, EMFILE, ENOBUFS, ENOENT, ENOMEM } from '../sys/constants.ts';
import { CLOSE_STALL_MS, LINGER_STALL_MS } from './limits.ts';
import { handleOwnerMessage } from './owner-messages.ts';

/** What happens all the time. */
const USUAL = /^(accept|close|abort|dispatch|request|response)_count$|_bytes$|^(connection_num|session_round)$/;

/** All that has been counted beside the usual. */
function counted({ segment }: Stage): Record<string, number> {
  const before = readStats(new Stage().segment, -1);
  const changed = Object.entries(readStats(segment, -1)).filter(
    ([label, value]) => !USUAL.test(label) && value !== before[label as keyof typeof before] && !/_fd$/.test(label),
  );
  return Object.fromEntries(changed);
}

describe('a reactor counts', () => {
  it('nothing of this where all goes well', () => {
    const stage = new Stage();
    const { client, served } = stage.connect();
    client.send('question');
    stage.settle();
    stage.send(served, 'answer');
    stage.settle();
    client.read();
    client.close();
    stage.settle();
    assert.deepEqual(counted(stage), {});
  });

  it('connections that it refuses, and accepts that fail', () => {
    const stage = new Stage({ maxConnections: 1 });
    stage.connect();
    stage.kernel.connect(stage.ports[0].listener);
    stage.settle();
    assert.deepEqual(counted(stage), { refuse_count: 1 });
    stage.kernel.script.fail('accept', EMFILE);
    stage.kernel.connect(stage.ports[0].listener);
    stage.settle();
    assert.deepEqual(counted(stage), { refuse_count: 1, accept_error_count: 1 });
  });

  it('connections without a PROXY header, and with a package that it cannot accept', () => {
    const everybody = [{ bytes: new Uint8Array(16), bits: 0 }];
    const framing = { kind: 'eof', eof: Buffer.from('\n'), split: true, max: 10 } as const;
    const stage = new Stage({ ports: [{ proxyFrom: everybody }, { framing }] });
    stage.kernel.connect(stage.ports[0].listener).send('GET / HTTP/1.1\r\n\r\n');
    stage.settle();
    assert.deepEqual(counted(stage), { proxy_error_count: 1 });
    stage.connect(1).client.send('much more than ten bytes');
    stage.settle();
    assert.deepEqual(counted(stage), { proxy_error_count: 1, malformed_count: 1 });
  });

  it('connections that end with an error', () => {
    const stage = new Stage();
    const [one, other] = [stage.connect(), stage.connect()];
    one.client.close();
    other.client.reset();
    stage.settle();
    assert.deepEqual(counted(stage), { lost_count: 1 });
  });

  it('how often a connection is not read from because its worker is full, and how many are so now', () => {
    const stage = new Stage();
    const [one, other] = [stage.connect(), stage.connect()];
    stage.receiver.full = true;
    one.client.send('1');
    other.client.send('2');
    stage.turns(5);
    assert.deepEqual(counted(stage), { block_count: 2, block_num: 2 });
    other.client.reset();
    stage.receiver.full = false;
    stage.settle();
    const { block_count, block_num } = readStats(stage.segment, -1);
    assert.deepEqual([block_count, block_num], [2, 0]);
  });

  it('what ends by time, by its reason', () => {
    const framing = { kind: 'eof', eof: Buffer.from('\n'), split: true, max: 10 } as const;
    const cases: [StageOptions, string][] = [
      [{ ports: [{ heartbeatIdleMs: 1000 }], heartbeatCheckMs: 500 }, 'heartbeat_close_count'],
      [{ ports: [{ maxIdleMs: 1000 }] }, 'idle_close_count'],
      [{ ports: [{ packageMs: 1000, framing }] }, 'package_timeout_count'],
    ];
    for (const [options, label] of cases) {
      const stage = new Stage(options);
      stage.connect().client.send('begun');
      stage.pass(5000);
      assert.deepEqual(counted(stage), { [label]: 1 });
    }
  });

  it('closes that waited in vain for the client to read', () => {
    for (const [bytes, waits] of [
      [300_000, 1],
      [80_000, 0],
    ]) {
      const stage = new Stage();
      const { served } = stage.connect();
      // What is over waits in our queue, or with the kernel.
      for (let sent = 0; sent < bytes; sent += 20_000) {
        stage.send(served, Buffer.alloc(20_000));
        stage.settle();
      }
      stage.close(served);
      stage.pass(CLOSE_STALL_MS + LINGER_STALL_MS + 5000);
      const { close_stall_count, send_wait_count, connection_num } = readStats(stage.segment, -1);
      assert.deepEqual([close_stall_count, send_wait_count, connection_num], [1, waits, 0]);
    }
  });

  it('what it reads and sends again', () => {
    const stage = new Stage();
    const { client, served } = stage.connect();
    stage.kernel.script.fail('recv', EINTR);
    client.send('x');
    stage.settle();
    assert.equal(served.text, 'x');
    assert.deepEqual(counted(stage), { recv_retry_count: 1 });
    stage.kernel.script.fail('send', EINTR, EINTR);
    stage.send(served, 'y');
    stage.settle();
    assert.deepEqual(counted(stage), { recv_retry_count: 1, send_retry_count: 2 });
    stage.kernel.script.fail('send', EAGAIN);
    stage.send(served, 'z');
    stage.settle();
    assert.deepEqual(counted(stage), { recv_retry_count: 1, send_retry_count: 2, send_wait_count: 1 });
    stage.kernel.script.fail('send', ENOBUFS);
    stage.send(served, '!');
    stage.settle();
    client.read();
    assert.equal(client.received.toString(), 'yz!');
    assert.deepEqual(stage.kernel.script.left, []);
  });

  it('the same through TLS, and handshakes that come to nothing', () => {
    const stage = new Stage({ ports: [{ tls: tlsConfig() }] });
    const [{ listener }] = stage.ports;
    const stranger = stage.kernel.connect(listener);
    stranger.send('GET / HTTP/1.1\r\n\r\n');
    stage.settle();
    assert.deepEqual(counted(stage), { handshake_error_count: 1 });
    const client = new TlsClient(stage.kernel.connect(listener));
    for (let i = 0; i < 5; i++) {
      stage.settle();
      client.pump();
    }
    const [served] = stage.receiver.served;
    stage.kernel.script.fail('send', EINTR, EAGAIN);
    stage.send(served, 'x');
    stage.settle();
    client.pump();
    assert.deepEqual(counted(stage), { handshake_error_count: 1, send_retry_count: 1, send_wait_count: 1 });
    assert.equal(client.received.toString(), 'x');
    assert.deepEqual(stage.kernel.script.left, []);
  });

  it('files that it cannot send, and messages for connections that have ended', () => {
    const stage = new Stage();
    const { served } = stage.connect();
    stage.kernel.files.set('gone', ENOENT);
    stage.reactor.sendFile(served.connection, 'gone', 0, 10);
    stage.settle();
    assert.deepEqual(counted(stage), { sendfile_error_count: 1 });
    let released = 0;
    const late = { kind: SEND, a: served.slot, b: served.serial + 1, release: () => released++ };
    assert.ok(handleOwnerMessage(stage.reactor, late as unknown as Message));
    assert.equal(released, 1);
    assert.deepEqual(counted(stage), { sendfile_error_count: 1, late_send_count: 1 });
  });

  it('how often datagrams wait for a worker, or do not come at all', () => {
    let full = true;
    const stage = new Stage({ ports: [{ socketType: SWOOLE_SOCK_UDP }], packets: { packet: () => !full } });
    const [{ listener }] = stage.ports;
    stage.kernel.datagram(listener, Buffer.from('x'));
    stage.turns(5);
    assert.deepEqual(counted(stage), { datagram_block_count: 1 });
    full = false;
    stage.pass(100);
    stage.kernel.script.fail('recvmmsg', ENOMEM);
    stage.kernel.datagram(listener, Buffer.from('y'));
    stage.settle();
    assert.deepEqual(counted(stage), { datagram_block_count: 1, datagram_error_count: 1 });
  });
});
