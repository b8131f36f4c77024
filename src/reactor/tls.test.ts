import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Client } from '../../test/support/kernel.ts';
import { prng } from '../../test/support/prng.ts';
import { assertBytes, type Served, Stage, type StageOptions } from '../../test/support/reactor.ts';
import { TlsClient, tlsConfig } from '../../test/support/tls-client.ts';
import { makePair, type Pair } from '../../test/tls/certificates.ts';
import { CLOSE_ERRNO, QUEUED_BYTES, STATE_OPENING } from '../shm/connections.ts';
import { ABORTED } from '../shm/counters.ts';
import { EAGAIN, ECONNRESET, EINTR, ENOBUFS, EPIPE, EPROTO, ETIMEDOUT } from '../sys/constants.ts';
import { openssl } from '../sys/openssl.ts';
import { BLOCKED_RETRY_MS, HANDSHAKE_MS, HANDSHAKES_MAX, READ_BYTES, SEAL_BYTES, TLS_REPLIES_MAX } from './limits.ts';
import type { TlsConfig } from './tls-context.ts';

const LINES = { kind: 'eof', eof: Buffer.from('\n'), split: true, max: 1024 * 1024 } as const;
const bytesOf = (length: number): Buffer => prng(length).bytes(length);

function tlsStage(changes: StageOptions = {}): Stage {
  return new Stage({ ...changes, ports: [{ tls: tlsConfig(), ...changes.ports?.[0] }] });
}

/** A client whose connection is there and whose handshake has not begun. */
function arrive(stage: Stage): Client {
  const client = stage.kernel.connect(stage.ports[0].listener);
  stage.settle();
  return client;
}

/** Carries everything to and fro until there is nothing more. */
function talk(stage: Stage, ...clients: TlsClient[]): void {
  for (let quiet = 0; quiet < 3; ) {
    const before = clients.map(({ client, waiting }) => client.received.length - waiting).join();
    stage.settle();
    for (const client of clients) client.pump();
    quiet = clients.map(({ client, waiting }) => client.received.length - waiting).join() === before ? quiet + 1 : 0;
  }
}

/** A client that has shaken hands. */
function connect(stage: Stage): { client: TlsClient; served: Served } {
  const before = stage.receiver.served.length;
  const client = new TlsClient(arrive(stage));
  talk(stage, client);
  assert.ok(client.open);
  return { client, served: stage.receiver.served[before] };
}

describe('a handshake', () => {
  it('introduces the connection when it is done, however it comes', () => {
    const stage = tlsStage();
    const plain = arrive(stage);
    const held: Client = Object.assign(Object.create(Object.getPrototypeOf(plain)), plain);
    const queue: number[] = [];
    held.send = (bytes) => {
      queue.push(...Buffer.from(bytes as string));
      return bytes.length;
    };
    const client = new TlsClient(held);
    while (queue.length !== 0) {
      plain.send(Uint8Array.of(queue.shift()!));
      stage.settle();
      if (queue.length === 0) client.pump();
      if (queue.length > 10) assert.equal(stage.receiver.served.length, 0);
    }
    client.pump();
    assert.ok(client.open);
    assert.equal(stage.receiver.served.length, 1);
  });

  it('whose client leaves is forgotten', () => {
    for (const leave of ['close', 'end', 'reset'] as const)
      for (const begins of [false, true]) {
        const stage = tlsStage();
        const plain = arrive(stage);
        assert.equal(stage.table.state(0), STATE_OPENING);
        if (begins) new TlsClient(plain);
        stage.settle();
        plain[leave]();
        stage.settle();
        assert.equal(stage.receiver.served.length, 0);
        assert.equal(stage.counters.get(ABORTED), 1);
        assert.match(stage.logged[0], /no TLS handshake with connection 1 from 127.0.0.1/);
        stage.assertClean();
      }
  });

  it('of somebody who speaks no TLS is ended', () => {
    const stage = tlsStage();
    arrive(stage).send('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    stage.settle();
    assert.match(stage.logged[0], /no TLS handshake.*: http request/);
    stage.assertClean();
  });

  it('of somebody who speaks it wrongly ends with an alert', () => {
    const stage = tlsStage();
    const plain = arrive(stage);
    // A record of a handshake whose first message is not a client's.
    plain.send(Uint8Array.of(0x16, 3, 1, 0, 5, 2, 0, 0, 1, 0));
    stage.settle();
    plain.read();
    assert.ok(plain.received.length > 0);
    assert.match(stage.logged[0], /no TLS handshake/);
    stage.assertClean();
  });

  it('that takes too long is ended', () => {
    const stage = tlsStage();
    arrive(stage).send('\x16');
    stage.pass(HANDSHAKE_MS / 2);
    assert.equal(stage.segment.connections, 1);
    stage.pass(HANDSHAKE_MS);
    assert.match(stage.logged[0], /it took too long/);
    stage.assertClean();
  });

  it('goes on when a read is interrupted, empty or short', () => {
    const stage = tlsStage();
    stage.kernel.script.fail('recv', EINTR, EAGAIN, EINTR, 0, EAGAIN);
    stage.kernel.script.shorten('recv', 1, 5, 20, 3);
    connect(stage);
    assert.deepEqual(stage.kernel.script.left, []);
  });

  it('whose socket fails is forgotten', () => {
    for (const error of [ECONNRESET, ETIMEDOUT]) {
      const stage = tlsStage();
      const plain = arrive(stage);
      stage.kernel.streamAt(Math.max(...stage.kernel.open())).fail(error);
      stage.settle();
      assert.match(stage.logged[0], new RegExp(`errno ${error}`));
      assert.equal(plain.received.length, 0);
      stage.assertClean();
    }
  });

  it('goes on when its answers are refused for now, interrupted or short', () => {
    for (const errors of [[EAGAIN], [EINTR, EINTR], [ENOBUFS], [ENOBUFS, ENOBUFS, ENOBUFS]]) {
      const stage = tlsStage();
      stage.kernel.script.fail('send', ...errors);
      stage.kernel.script.shorten('send', 10);
      const client = new TlsClient(arrive(stage));
      talk(stage, client);
      stage.pass(BLOCKED_RETRY_MS * 4);
      talk(stage, client);
      assert.ok(client.open);
      assert.equal(stage.receiver.served.length, 1);
      assert.equal(stage.table.words[stage.receiver.served[0].connection.base + QUEUED_BYTES], 0);
    }
  });

  it('ends when its answers cannot be sent at all', () => {
    const stage = tlsStage();
    stage.kernel.script.fail('send', EPIPE);
    new TlsClient(arrive(stage));
    stage.settle();
    assert.equal(stage.receiver.served.length, 0);
    stage.assertClean();
  });

  it('is done in turns where there is a crowd', () => {
    const stage = tlsStage({ slots: 64 });
    const clients = Array.from({ length: HANDSHAKES_MAX * 3 }, () => arrive(stage)).map(
      (plain) => new TlsClient(plain),
    );
    stage.turn();
    stage.turn();
    const answered = clients.filter(({ client }) => client.read(1) === 1).length;
    assert.equal(answered, HANDSHAKES_MAX);
    talk(stage, ...clients);
    assert.ok(clients.every(({ open }) => open));
  });

  it('uses certificates as they are read last', () => {
    const files = { ...tlsConfig() };
    const stage = new Stage({ ports: [{ tls: files }] });
    files.certFile = '/no/such/file';
    stage.reactor.reloadCertificates();
    assert.match(stage.logged[0], /certificates are not reloaded, the old ones stay/);
    connect(stage);
    files.certFile = tlsConfig().certFile;
    stage.reactor.reloadCertificates();
    assert.equal(stage.logged.length, 1);
    connect(stage);
  });

  it('needs memory', () => {
    const stage = tlsStage();
    const lib = openssl();
    const { newSession } = lib;
    lib.newSession = () => 0;
    try {
      arrive(stage);
    } finally {
      lib.newSession = newSession;
    }
    assert.match(stage.logged[0], /out of memory/);
    stage.assertClean();
  });

  it('is ended with the server', () => {
    const stage = tlsStage();
    new TlsClient(arrive(stage));
    stage.reactor.stopAccepting();
    stage.reactor.stopReading();
    assert.match(stage.logged[0], /the server ends/);
    stage.assertClean();
  });
});

describe('what comes in through TLS', () => {
  it('is delivered, short and long, framed and not', () => {
    for (const options of [{}, { ports: [{ framing: LINES }] }])
      for (const room of [1000, READ_BYTES]) {
        const stage = tlsStage(options);
        stage.receiver.room = room;
        const { client, served } = connect(stage);
        const text = `${'a line\n'.repeat(30_000)}\n`;
        client.send('short\n');
        talk(stage, client);
        client.send(text);
        talk(stage, client);
        assert.equal(served.text, `short\n${text}`);
      }
  });

  it('is delivered before the end behind it, with and without a goodbye', () => {
    for (const goodbye of [true, false]) {
      const stage = tlsStage();
      stage.receiver.room = 1000;
      const { client, served } = connect(stage);
      client.send(bytesOf(20_000));
      if (goodbye) client.end();
      else client.client.close();
      talk(stage, client);
      assertBytes(served.received, bytesOf(20_000));
      assert.equal(served.closes, 1);
      client.client.close();
      stage.settle();
      stage.assertClean();
    }
  });

  it('goes on when a read is interrupted, empty or short', () => {
    const stage = tlsStage();
    const { client, served } = connect(stage);
    stage.kernel.script.fail('recv', EINTR, EAGAIN, EINTR);
    stage.kernel.script.shorten('recv', 1, 4, 1, 100);
    client.send(bytesOf(30_000));
    talk(stage, client);
    assertBytes(served.received, bytesOf(30_000));
    assert.deepEqual(stage.kernel.script.left, []);
  });

  it('ends when the socket fails', () => {
    for (const error of [ECONNRESET, ETIMEDOUT, EPIPE]) {
      const stage = tlsStage();
      const { served } = connect(stage);
      stage.kernel.streamAt(served.connection.fd).fail(error);
      stage.settle();
      assert.equal(served.closes, 1);
      assert.equal(stage.table.words[served.connection.base + CLOSE_ERRNO], error);
      stage.assertClean();
    }
  });

  it('ends when the peer breaks the rules', () => {
    const stage = tlsStage();
    const { client, served } = connect(stage);
    client.client.send('this is no record of TLS');
    talk(stage, client);
    assert.equal(served.closes, 1);
    assert.equal(stage.table.words[served.connection.base + CLOSE_ERRNO], EPROTO);
    assert.notEqual(client.broken, '');
    stage.pass(10_000);
    stage.assertClean();
  });

  it('is waited for without spinning behind urgent data, before and after the handshake', () => {
    const stage = tlsStage();
    const plain = arrive(stage);
    plain.urgent(33);
    stage.settle();
    const client = new TlsClient(plain);
    talk(stage, client);
    plain.urgent(33);
    stage.settle();
    assert.ok(!stage.reactor.hasReady);
    client.send('text');
    talk(stage, client);
    assert.equal(stage.receiver.served[0].text, 'text');
  });

  it('waits while the receiver is full', () => {
    const stage = tlsStage();
    const { client, served } = connect(stage);
    stage.receiver.full = true;
    client.send(bytesOf(100_000));
    stage.settle();
    stage.receiver.full = false;
    talk(stage, client);
    assertBytes(served.received, bytesOf(100_000));
  });

  it('waits while the connection is paused, also what was decrypted already', () => {
    const stage = tlsStage();
    stage.receiver.room = 100;
    const { client, served } = connect(stage);
    stage.receiver.onPackage = () => {
      stage.reactor.pause(served.connection);
      stage.receiver.onPackage = null;
    };
    client.send(bytesOf(5000));
    talk(stage, client);
    assert.equal(served.received.length, 100);
    stage.reactor.resume(served.connection);
    talk(stage, client);
    assertBytes(served.received, bytesOf(5000));
  });

  it('may ask for new keys, but not for ever', () => {
    const stage = tlsStage();
    const { client, served } = connect(stage);
    for (let i = 0; i < TLS_REPLIES_MAX - 2; i++) {
      client.askForKeys();
      talk(stage, client);
    }
    assert.equal(served.closes, 0);
    stage.send(served, 'with new keys');
    talk(stage, client);
    assert.equal(client.received.toString(), 'with new keys');
    for (let i = 0; i < 40 && served.closes === 0; i++) {
      client.askForKeys();
      talk(stage, client);
    }
    assert.equal(served.closes, 1);
    assert.match(stage.logged[0], /asks for new TLS keys again and again/);
    assert.equal(stage.table.words[served.connection.base + CLOSE_ERRNO], EPROTO);
    stage.pass(10_000);
    stage.assertClean();
  });
});

describe('what goes out through TLS', () => {
  const SIZES = [100, 20_000, 3 * SEAL_BYTES];

  it('arrives in order, and says goodbye', () => {
    for (const size of SIZES) {
      const stage = tlsStage();
      const { client, served } = connect(stage);
      stage.send(served, 'before');
      stage.send(served, bytesOf(size));
      stage.send(served, 'behind');
      talk(stage, client);
      assertBytes(client.received, Buffer.concat([Buffer.from('before'), bytesOf(size), Buffer.from('behind')]));
      stage.close(served);
      client.pump();
      assert.ok(client.ended);
      stage.assertClean();
    }
  });

  it('waits for a slow reader, and closes behind the last byte', () => {
    const stage = tlsStage();
    const { client, served } = connect(stage);
    stage.send(served, bytesOf(400_000));
    stage.close(served);
    for (let i = 0; i < 1000 && !client.ended; i++) {
      stage.settle();
      client.pump(5000);
    }
    assertBytes(client.received, bytesOf(400_000));
    assert.ok(client.ended);
    stage.pass(10_000);
    stage.assertClean();
  });

  it('goes on when a send is refused, interrupted, short or has no memory', () => {
    for (const size of SIZES)
      for (const errors of [
        [EAGAIN],
        [EINTR],
        [EINTR, EINTR, EINTR],
        [ENOBUFS],
        [ENOBUFS, ENOBUFS, ENOBUFS],
        [EINTR, EAGAIN],
        [EINTR, ENOBUFS],
      ]) {
        const stage = tlsStage();
        const { client, served } = connect(stage);
        stage.kernel.script.fail('send', ...errors);
        stage.kernel.script.shorten('send', 1, 1000);
        stage.send(served, bytesOf(size));
        stage.send(served, 'behind');
        talk(stage, client);
        stage.pass(BLOCKED_RETRY_MS * 4);
        talk(stage, client);
        assertBytes(client.received, Buffer.concat([bytesOf(size), Buffer.from('behind')]));
        assert.equal(stage.table.words[served.connection.base + QUEUED_BYTES], 0);
        assert.ok(!stage.reactor.hasOutput);
        stage.close(served);
        stage.assertClean();
      }
  });

  it('ends when the peer has gone', () => {
    for (const size of SIZES)
      for (const errors of [[EPIPE], [ECONNRESET], [EINTR, EPIPE], [EAGAIN, EPIPE]]) {
        const stage = tlsStage();
        const { served } = connect(stage);
        const told: boolean[] = [];
        stage.kernel.script.fail('send', ...errors);
        stage.send(served, bytesOf(size));
        stage.reactor.whenSent(served.connection, (sent) => told.push(sent));
        stage.settle();
        assert.deepEqual(told, [false]);
        assert.equal(served.closes, 1);
        stage.assertClean();
      }
  });

  it('tells who waits when the last record is with the kernel', () => {
    const stage = tlsStage();
    const { client, served } = connect(stage);
    const told: boolean[] = [];
    stage.send(served, bytesOf(200_000));
    stage.reactor.whenSent(served.connection, (sent) => told.push(sent));
    stage.settle();
    assert.deepEqual(told, []);
    talk(stage, client);
    assert.deepEqual(told, [true]);
  });

  it('waits behind a reader who asks for new keys meanwhile', () => {
    const stage = tlsStage();
    const { client, served } = connect(stage);
    stage.send(served, bytesOf(300_000));
    stage.settle();
    client.askForKeys();
    stage.settle();
    stage.send(served, 'behind');
    talk(stage, client);
    assertBytes(client.received, Buffer.concat([bytesOf(300_000), Buffer.from('behind')]));
    assert.equal(client.broken, '');
  });

  it('is given up when the peer breaks the rules while it waits', () => {
    const stage = tlsStage();
    const { client, served } = connect(stage);
    stage.send(served, bytesOf(300_000));
    stage.settle();
    client.client.send('no record');
    stage.settle();
    assert.equal(served.closes, 1);
    assert.equal(stage.table.words[served.connection.base + QUEUED_BYTES], 0);
    client.client.close();
    stage.pass(1000);
    stage.assertClean();
  });

  it('may be a file', () => {
    const stage = tlsStage();
    const { client, served } = connect(stage);
    stage.kernel.file('/file', bytesOf(300_000));
    stage.send(served, 'before');
    stage.reactor.sendFile(served.connection, '/file', 0, 300_000);
    stage.send(served, 'behind');
    stage.kernel.script.fail('send', 0, EINTR, EAGAIN, ENOBUFS);
    talk(stage, client);
    stage.pass(BLOCKED_RETRY_MS * 4);
    talk(stage, client);
    assertBytes(client.received, Buffer.concat([Buffer.from('before'), bytesOf(300_000), Buffer.from('behind')]));
  });

  it('is dropped by a reset, without a goodbye', () => {
    const stage = tlsStage();
    const { client, served } = connect(stage);
    stage.send(served, bytesOf(300_000));
    stage.close(served, true);
    client.pump();
    assert.ok(!client.ended);
    assert.notEqual(client.client.error, 0);
    stage.assertClean();
  });

  it('is nobody else’s: sessions share their memory, and nothing is left in it', () => {
    const stage = tlsStage();
    const all = [1, 2, 3].map(() => connect(stage));
    stage.kernel.script.fail('send', EAGAIN, 0, EINTR, EAGAIN);
    stage.kernel.script.shorten('recv', 3, 100, 1);
    for (const [index, { client, served }] of all.entries()) {
      stage.send(served, bytesOf(10_000 + index));
      client.send(bytesOf(20_000 + index));
    }
    all[1].client.client.send('broken');
    talk(stage, ...all.map(({ client }) => client));
    for (const index of [0, 2]) {
      assertBytes(all[index].client.received, bytesOf(10_000 + index));
      assertBytes(all[index].served.received, bytesOf(20_000 + index));
    }
  });
});

describe('a client that must say who it is', () => {
  const authority = makePair('Authority', { authority: true });
  const known = makePair('known', { issuer: authority });
  const alone = makePair('alone');
  const stranger = makePair('stranger', { issuer: makePair('Another authority', { authority: true }) });
  const asking = { ...tlsConfig(), verifyPeer: true, clientCertFile: authority.certFile };

  function come(changes: Partial<TlsConfig>, pair: Pair | null): { stage: Stage; served: Served | undefined } {
    const stage = new Stage({ ports: [{ tls: { ...asking, ...changes } }] });
    talk(stage, new TlsClient(arrive(stage), pair));
    return { stage, served: stage.receiver.served[0] };
  }

  it('comes in with a certificate of the authority, which the worker can read', () => {
    for (const allowSelfSigned of [false, true])
      for (const verifyPeer of [false, true]) {
        const { served } = come({ allowSelfSigned, verifyPeer }, known);
        assert.ok(served !== undefined);
        assert.equal(served.connection.transport.certificate?.trim(), known.cert.toString().trim());
      }
  });

  it('comes in with one of its own where that is allowed', () => {
    assert.ok(come({ allowSelfSigned: true }, alone).served !== undefined);
    assert.equal(come({ allowSelfSigned: false }, alone).served, undefined);
  });

  it('comes in without one only where none must be shown', () => {
    assert.ok(come({ verifyPeer: false }, null).served !== undefined);
    for (const allowSelfSigned of [false, true]) {
      const { stage, served } = come({ allowSelfSigned }, null);
      assert.equal(served, undefined);
      assert.match(stage.logged[0], /no TLS handshake/);
      stage.assertClean();
    }
  });

  it('does not come in with one of somebody else', () => {
    for (const verifyDepth of [0, 3])
      for (const allowSelfSigned of [false, true]) {
        const { stage, served } = come({ allowSelfSigned, verifyDepth }, stranger);
        assert.equal(served, undefined);
        assert.match(stage.logged[0], /certificate verify failed/);
        stage.assertClean();
      }
  });
});
