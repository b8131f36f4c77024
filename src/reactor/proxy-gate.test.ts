import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Stage } from '../../test/support/reactor.ts';
import { SWOOLE_SOCK_UNIX_STREAM } from '../constants.ts';
import { parseAddressRange } from '../protocol/ip-address.ts';
import { REMOTE_PORT } from '../shm/connections.ts';
import { EAGAIN, ECONNRESET, EINTR, ENOMEM, ETIMEDOUT } from '../sys/constants.ts';
import { PROXY_WAIT_MS } from './limits.ts';

const HEADER = 'PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n';

function gate(changes = {}, from = '127.0.0.0/8') {
  const range = parseAddressRange(from);
  assert.ok(range !== null);
  const stage = new Stage({ ports: [{ proxyFrom: [range], ...changes }] });
  const client = stage.kernel.connect(stage.ports[0].listener);
  stage.settle();
  return { stage, client };
}

describe('a connection of a load balancer', () => {
  it('waits, known to nobody, until its header has come, however it comes', () => {
    const { stage, client } = gate();
    for (const byte of HEADER) {
      assert.equal(stage.receiver.served.length, 0);
      client.send(byte);
      stage.settle();
    }
    const [served] = stage.receiver.served;
    assert.equal(stage.table.remoteIp(served.connection.base), '192.0.2.7');
    assert.equal(stage.table.words[served.connection.base + REMOTE_PORT], 4711);
    client.send('text');
    stage.settle();
    assert.equal(served.text, 'text');
    stage.send(served, 'answer');
    assert.equal(stage.readAll(client).toString(), 'answer');
  });

  it('goes through at once with a header that is there already, and what is behind it is read', () => {
    const { stage } = gate();
    const client = stage.kernel.connect(stage.ports[0].listener);
    client.send(`${HEADER}text`);
    stage.settle();
    assert.equal(stage.receiver.served[0].text, 'text');
  });

  it('of somebody else is a connection as it comes', () => {
    for (const { stage, client } of [
      gate({}, '10.0.0.0/8'),
      gate({ socketType: SWOOLE_SOCK_UNIX_STREAM }, '10.0.0.0/8'),
    ]) {
      client.send(HEADER);
      stage.settle();
      assert.equal(stage.receiver.served[0].text, HEADER);
    }
  });

  it('counts as one where connections are limited', () => {
    const { stage } = gate();
    for (let i = 0; i < 20; i++) stage.kernel.connect(stage.ports[0].listener);
    stage.settle();
    assert.match(stage.logged[0], /too many connections/);
    assert.equal(stage.segment.connections, 0);
  });

  it('is refused when the connections of others have become too many meanwhile', () => {
    const { stage, client } = gate();
    stage.segment.addConnections(0, 16, 0);
    client.send(HEADER);
    stage.settle();
    assert.match(stage.logged[0], /too many connections/);
    assert.equal(stage.receiver.served.length, 0);
    client.read();
    assert.ok(client.ended);
  });

  it('without a valid header is closed, and the log tells', () => {
    const { stage, client } = gate();
    client.send('GET / HTTP/1.1\r\n');
    stage.settle();
    assert.match(stage.logged[0], /127\.0\.0\.1 has no valid PROXY protocol header/);
    client.read();
    assert.ok(client.ended || client.error === ECONNRESET);
    stage.assertClean();
  });

  it('without any header is closed after a while', () => {
    const { stage, client } = gate();
    stage.pass(PROXY_WAIT_MS / 2);
    client.send('PROXY ');
    stage.pass(PROXY_WAIT_MS);
    assert.match(stage.logged[0], /did not come within 5 s/);
    assert.equal(stage.receiver.served.length, 0);
    stage.assertClean();
  });

  it('that only looks whether we live leaves no trace', () => {
    for (const leave of ['close', 'reset', 'end'] as const)
      for (const text of ['', 'PROXY TC']) {
        const { stage, client } = gate();
        client.send(text);
        stage.settle();
        client[leave]();
        stage.settle();
        assert.deepEqual(stage.logged, []);
        assert.equal(stage.receiver.served.length, 0);
        stage.assertClean();
      }
  });

  it('is closed with the others when accepting ends', () => {
    const { stage } = gate();
    stage.reactor.stopAccepting();
    stage.assertClean();
  });

  it('gives its place among those who wait to the next', () => {
    const { stage, client } = gate();
    const others = [1, 2, 3].map(() => stage.kernel.connect(stage.ports[0].listener));
    stage.settle();
    client.reset();
    stage.settle();
    const last = stage.kernel.connect(stage.ports[0].listener);
    stage.settle();
    for (const each of [...others, last]) each.send(HEADER);
    stage.settle();
    assert.equal(stage.receiver.served.length, 4);
  });
});

describe('looking for the header', () => {
  it('waits when there is nothing, and when it is interrupted', () => {
    for (const error of [EAGAIN, EINTR]) {
      const { stage, client } = gate();
      stage.kernel.script.fail('recv', error);
      client.send('PROXY ');
      stage.settle();
      client.send(HEADER.slice(6));
      stage.settle();
      assert.equal(stage.receiver.served.length, 1);
    }
  });

  it('finds that the socket has failed', () => {
    for (const error of [ECONNRESET, ETIMEDOUT]) {
      const { stage } = gate();
      stage.kernel.streamAt(Math.max(...stage.kernel.open())).fail(error);
      stage.settle();
      stage.assertClean();
    }
  });

  it('is over when the header cannot be taken out of the socket', () => {
    const { stage, client } = gate();
    stage.kernel.script.fail('recv', 0, EAGAIN);
    client.send(HEADER);
    stage.settle();
    assert.match(stage.logged[0], /-1 of its 40 bytes could be read/);
    assert.equal(stage.receiver.served.length, 0);
    stage.assertClean();
  });

  it('needs epoll', () => {
    const { stage } = gate();
    stage.kernel.script.fail('epollCtl', ENOMEM);
    stage.kernel.connect(stage.ports[0].listener);
    stage.settle();
    assert.match(stage.logged[0], new RegExp(`epoll_ctl\\(\\) failed with errno ${ENOMEM}`));
    stage.reactor.stopAccepting();
    stage.assertClean();
  });
});
