import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { sockaddrOf } from '../../test/support/kernel.ts';
import { Stage } from '../../test/support/reactor.ts';
import { SWOOLE_SOCK_UDP, SWOOLE_SOCK_UNIX_DGRAM } from '../constants.ts';
import { EAGAIN, EINTR, ENOBUFS, ENOMEM } from '../sys/constants.ts';
import { peerAddressText, peerPort } from '../sys/datagram.ts';
import type { PacketDelivery, PacketSource } from './datagram.ts';
import { BLOCKED_RETRY_MS, DATAGRAM_BATCH, DATAGRAM_BATCHES_MAX, UDP_BYTES_MAX } from './limits.ts';

class Packets implements PacketDelivery {
  readonly got: string[] = [];
  full = false;

  packet({ batch, next, port }: PacketSource): boolean {
    if (this.full) return false;
    const { u8, text } = batch.memory;
    const at = batch.dataAt(next);
    const who = `${peerAddressText(u8, batch.addressAt(next), batch.addressLength(next))}:${peerPort(u8, batch.addressAt(next), batch.addressLength(next))}`;
    this.got.push(`${port.index} ${who} ${text.toString('latin1', at, at + batch.length(next))}`);
    return true;
  }
}

function stageWithPackets(socketTypes = [SWOOLE_SOCK_UDP]) {
  const packets = new Packets();
  const stage = new Stage({ ports: socketTypes.map((socketType) => ({ socketType })), packets });
  const arrive = (text: string, port = 0): void => {
    const sockaddr = sockaddrOf(socketTypes[port] === SWOOLE_SOCK_UDP ? 'tcp' : 'unix', 9);
    stage.kernel.datagram(stage.ports[port].listener, Buffer.from(text), sockaddr);
  };
  return { stage, packets, arrive };
}

describe('datagrams', () => {
  it('are handed on one by one, with who sent them', () => {
    const { stage, packets, arrive } = stageWithPackets([SWOOLE_SOCK_UDP, SWOOLE_SOCK_UNIX_DGRAM]);
    arrive('one');
    arrive('');
    arrive('two', 1);
    stage.settle();
    assert.deepEqual(packets.got.sort(), ['0 127.0.0.1:9 ', '0 127.0.0.1:9 one', '1 :0 two']);
  });

  it('in a crowd are taken in several turns, in order', () => {
    const { stage, packets, arrive } = stageWithPackets();
    const most = DATAGRAM_BATCH * DATAGRAM_BATCHES_MAX;
    for (let i = 0; i < most + 5; i++) arrive(`${i}`);
    stage.turn();
    assert.equal(packets.got.length, most);
    stage.settle();
    assert.deepEqual(
      packets.got.map((text) => Number(text.split(' ')[2])),
      Array.from({ length: most + 5 }, (_, i) => i),
    );
  });

  it('wait while the receiver is full, in the order in which they came', () => {
    const { stage, packets, arrive } = stageWithPackets();
    packets.full = true;
    for (const text of ['one', 'two', 'three']) arrive(text);
    stage.settle();
    assert.equal(stage.reactor.timeoutMs(), BLOCKED_RETRY_MS);
    arrive('four');
    stage.settle();
    packets.full = false;
    stage.settle();
    assert.deepEqual(
      packets.got.map((text) => text.split(' ')[2]),
      ['one', 'two', 'three', 'four'],
    );
  });

  it('too long for their place are dropped, and the log tells once a second', () => {
    const { stage, packets, arrive } = stageWithPackets();
    arrive('x'.repeat(UDP_BYTES_MAX + 10));
    arrive('y'.repeat(UDP_BYTES_MAX + 10));
    arrive('fits');
    stage.settle();
    assert.equal(packets.got.length, 1);
    assert.equal(stage.logged.length, 1);
    assert.match(stage.logged[0], /a datagram is longer than/);
  });

  it('are not taken any more once accepting has stopped, and what was received is handed on', () => {
    const { stage, packets, arrive } = stageWithPackets();
    packets.full = true;
    arrive('received');
    stage.settle();
    stage.reactor.stopAccepting();
    arrive('too late');
    packets.full = false;
    stage.settle();
    assert.deepEqual(packets.got, ['0 127.0.0.1:9 received']);
  });
});

describe('recvmmsg()', () => {
  it('that finds nothing, or is interrupted, is asked again when the kernel tells', () => {
    for (const error of [EAGAIN, EINTR]) {
      const { stage, packets, arrive } = stageWithPackets();
      stage.kernel.script.fail('recvmmsg', error);
      arrive('one');
      stage.settle();
      assert.equal(packets.got.length, 1);
      assert.deepEqual(stage.logged, []);
    }
  });

  it('that fails rests for a while, and does not spin', () => {
    for (const error of [ENOBUFS, ENOMEM]) {
      const { stage, packets, arrive } = stageWithPackets();
      stage.kernel.script.fail('recvmmsg', error);
      arrive('one');
      stage.turn();
      assert.equal(stage.turn(), 0);
      assert.match(stage.logged[0], new RegExp(`recvmmsg\\(\\) failed with errno ${error}`));
      assert.equal(packets.got.length, 0);
      stage.pass(BLOCKED_RETRY_MS * 2);
      assert.equal(packets.got.length, 1);
    }
  });
});
