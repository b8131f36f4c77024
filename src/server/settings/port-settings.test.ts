import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  type Framing,
  type PortSettings,
  type ResolvedPortSettings,
  resolvePortSettings,
  settleHeartbeat,
  validateSettings,
} from './settings.ts';

const MIB = 1024 ** 2;
const resolve = (input: PortSettings = {}): ResolvedPortSettings =>
  resolvePortSettings(validateSettings(input, 'port').values);
const framingOf = (input: PortSettings): Framing => resolve(input).framing;

describe('resolvePortSettings', () => {
  it('has the documented defaults', () => {
    assert.deepEqual(resolve(), {
      backlog: 512,
      tcpDeferAccept: 0,
      tcpFastopen: false,
      reactor: {
        socketBufferSize: 8 * MIB,
        bufferHighWatermark: 6710886,
        bufferLowWatermark: 0,
        socketOptions: {
          nodelay: true,
          keepalive: false,
          keepIdleSeconds: 3600,
          keepIntervalSeconds: 60,
          keepCount: 5,
          userTimeoutMs: 0,
          receiveBufferBytes: 0,
          sendBufferBytes: 0,
        },
        heartbeatIdleMs: 0,
        maxIdleMs: 0,
        packageMs: 0,
        proxyFrom: null,
      },
      framing: { kind: 'raw' },
      packageMaxLength: 2 * MIB,
      openHttp: false,
      openHttp2: false,
      openWebsocket: false,
      websocketSubprotocol: '',
      openWebsocketCloseFrame: false,
      openWebsocketPingFrame: false,
      openWebsocketPongFrame: false,
      ssl: {
        certFile: null,
        keyFile: null,
        passphrase: null,
        sniCertificates: new Map(),
        protocols: 0,
        ciphers: 'EECDH+AESGCM:EDH+AESGCM:AES256+EECDH:AES256+EDH',
        preferServerCiphers: true,
        ecdhCurve: 'auto',
        dhparam: null,
        verifyPeer: false,
        allowSelfSigned: false,
        clientCertFile: null,
        caFile: null,
        caPath: null,
        verifyDepth: 0,
      },
      warnings: [],
    });
  });

  it('knows whose connections begin with a PROXY protocol header', () => {
    const { proxyFrom } = resolve({ proxy_protocol: true, proxy_protocol_from: ['10.0.0.0/8', '::1'] }).reactor;
    assert.deepEqual(
      proxyFrom?.map(({ bits }) => bits),
      [104, 128],
    );
    assert.equal(resolve({ proxy_protocol_from: ['10.0.0.0/8'] }).reactor.proxyFrom, null);
  });

  it('wants to know the load balancers when the PROXY protocol is on', () => {
    const from = (list?: string[]) => () => resolve({ proxy_protocol: true, proxy_protocol_from: list });
    const error = { code: 'ERR_SETTING_VALUE', key: 'proxy_protocol_from' };
    assert.throws(from(), error);
    assert.throws(from([]), error);
    for (const text of [
      '',
      'example.org',
      '10.0.0.0/33',
      '10.0.0/8',
      '::/129',
      'fe80::1%eth0',
      '10.0.0.0/',
      '10.0.0.0/08',
    ])
      assert.throws(from(['::1', text]), error, text);
  });

  it('takes over what is set', () => {
    const settings = resolve({
      backlog: 7,
      open_tcp_nodelay: 0,
      open_tcp_keepalive: 1,
      tcp_keepidle: 10,
      tcp_user_timeout: 250,
      heartbeat_idle_time: 60,
      max_idle_time: 1.5,
      package_timeout: 2.5,
      websocket_subprotocol: 'chat',
      ssl_cert_file: 'a.crt',
      ssl_ciphers: '',
      ssl_sni_certs: { '*.a.org': { ssl_cert_file: 'b.crt', ssl_key_file: 'b.key' } },
    });
    assert.equal(settings.backlog, 7);
    assert.equal(settings.reactor.socketOptions.nodelay, false);
    assert.equal(settings.reactor.socketOptions.keepalive, true);
    assert.equal(settings.reactor.socketOptions.keepIdleSeconds, 10);
    assert.equal(settings.reactor.socketOptions.userTimeoutMs, 250);
    assert.equal(settings.reactor.heartbeatIdleMs, 60_000);
    assert.equal(settings.reactor.maxIdleMs, 1500);
    assert.equal(settings.reactor.packageMs, 2500);
    assert.equal(settings.websocketSubprotocol, 'chat');
    assert.equal(settings.ssl.certFile, 'a.crt');
    assert.equal(settings.ssl.ciphers, '');
    assert.deepEqual(settings.ssl.sniCertificates, new Map([['*.a.org', { certFile: 'b.crt', keyFile: 'b.key' }]]));
  });

  it('lets the kernel wait for acknowledgements without an end where it does not probe connections', () => {
    assert.equal(resolve({ tcp_user_timeout: 250 }).reactor.socketOptions.userTimeoutMs, 0);
  });

  it('never rounds a time down to none', () => {
    assert.equal(resolve({ max_idle_time: 0.00001 }).reactor.maxIdleMs, 1);
    assert.equal(resolve({ max_idle_time: 1.001 }).reactor.maxIdleMs, 1001);
    assert.equal(resolve({ max_idle_time: 0 }).reactor.maxIdleMs, 0);
  });

  it('takes a socket buffer of 0 or less as unlimited', () => {
    for (const size of [0, -1, '-1']) {
      const settings = resolve({ socket_buffer_size: size });
      assert.equal(settings.reactor.socketBufferSize, 2147483647);
      assert.equal(settings.reactor.bufferHighWatermark, 1717986917);
    }
  });

  it('takes kernel buffers of 0 or less as the largest, and leaves absent ones to the kernel', () => {
    assert.equal(resolve({ kernel_socket_recv_buffer_size: 0 }).reactor.socketOptions.receiveBufferBytes, 2147483647);
    assert.equal(resolve({ kernel_socket_send_buffer_size: '64K' }).reactor.socketOptions.sendBufferBytes, 65536);
    assert.equal(resolve().reactor.socketOptions.sendBufferBytes, 0);
  });

  it('derives the high watermark from the socket buffer unless it is set', () => {
    assert.equal(resolve({ socket_buffer_size: 1000 }).reactor.bufferHighWatermark, 800);
    assert.equal(resolve({ socket_buffer_size: 1000, buffer_high_watermark: 0 }).reactor.bufferHighWatermark, 800);
    assert.equal(resolve({ socket_buffer_size: 1000, buffer_high_watermark: 10 }).reactor.bufferHighWatermark, 10);
  });

  it('raises package_max_length to 64 KiB, with a warning', () => {
    const settings = resolve({ package_max_length: 100, open_eof_check: true });
    assert.equal(settings.packageMaxLength, 65536);
    assert.deepEqual(settings.framing, { kind: 'eof', eof: eof('\r\n\r\n'), split: false, max: 65536 });
    assert.deepEqual(settings.warnings, ['package_max_length 100 is below the smallest possible: 65536 is used.']);
    assert.deepEqual(resolve({ package_max_length: '64K' }).warnings, []);
  });

  it('has HTTP/2 and WebSocket imply HTTP', () => {
    assert.deepEqual(framingOf({ open_http2_protocol: true }), { kind: 'http', max: 2 * MIB });
    assert.deepEqual(framingOf({ open_websocket_protocol: true }), { kind: 'http', max: 2 * MIB });
    assert.equal(resolve({ open_websocket_protocol: true, open_http_protocol: false }).openHttp, true);
  });
});

const eof = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('framing', () => {
  it('goes by the order eof, length, http, mqtt, redis, raw', () => {
    const flags: (keyof PortSettings)[] = [
      'open_eof_check',
      'open_length_check',
      'open_http_protocol',
      'open_mqtt_protocol',
      'open_redis_protocol',
    ];
    const kinds = ['eof', 'length', 'http', 'mqtt', 'redis', 'raw'];
    for (let first = 0; first <= flags.length; first++) {
      const input = Object.fromEntries(flags.slice(first).map((flag) => [flag, true]));
      assert.equal(framingOf(input).kind, kinds[first]);
    }
  });

  it('splits at the mark when asked to, with or without open_eof_check', () => {
    const expected = { kind: 'eof', eof: eof('\n'), split: true, max: 2 * MIB };
    assert.deepEqual(framingOf({ open_eof_split: true, package_eof: '\n' }), expected);
    assert.deepEqual(framingOf({ open_eof_split: true, open_eof_check: false, package_eof: '\n' }), expected);
  });

  it('keeps a copy of the mark', () => {
    const mark = Uint8Array.of(1, 2);
    const framing = framingOf({ open_eof_check: true, package_eof: mark });
    mark[0] = 9;
    assert.deepEqual(framing, { kind: 'eof', eof: Uint8Array.of(1, 2), split: false, max: 2 * MIB });
  });

  it('reads a 4-byte length in front of the body by default', () => {
    const expected = { kind: 'length', type: 'N', lengthOffset: 0, bodyOffset: 4, max: 2 * MIB };
    assert.deepEqual(framingOf({ open_length_check: true }), expected);
  });

  it('takes length settings, the body offset by either name', () => {
    const expected = { kind: 'length', type: 'v', lengthOffset: 2, bodyOffset: 0, max: 65536 };
    const common: PortSettings = {
      open_length_check: true,
      package_length_type: 'v',
      package_length_offset: 2,
      package_max_length: '64K',
    };
    assert.deepEqual(framingOf({ ...common, package_body_offset: 0 }), expected);
    assert.deepEqual(framingOf({ ...common, package_body_start: 0 }), expected);
  });

  it('prefers a function to the length field, and uses it only with open_length_check', () => {
    const call = (): number => 0;
    assert.deepEqual(framingOf({ open_length_check: true, package_length_func: call }), {
      kind: 'lengthFunction',
      call,
      max: 2 * MIB,
    });
    assert.deepEqual(framingOf({ package_length_func: call }), { kind: 'raw' });
  });
});

describe('settleHeartbeat', () => {
  for (const [name, interval, idle, settled] of [
    ['is off when nothing asks for it', 0, [0, 0], { checkIntervalMs: 0, idleMs: [0, 0] }],
    [
      'gives ports without idle time twice the interval',
      30_000,
      [0, 0],
      { checkIntervalMs: 30_000, idleMs: [60_000, 60_000] },
    ],
    [
      'lowers the interval to half of the shortest idle time',
      60_000,
      [0, 20_000],
      { checkIntervalMs: 10_000, idleMs: [120_000, 20_000] },
    ],
    ['keeps an interval that is short enough', 5000, [20_000], { checkIntervalMs: 5000, idleMs: [20_000] }],
    ['is turned on by an idle time alone', 0, [9000, 0], { checkIntervalMs: 4000, idleMs: [9000, 0] }],
    [
      'looks once a second for idle times of up to three seconds',
      60_000,
      [1000, 2000, 3000],
      { checkIntervalMs: 1000, idleMs: [1000, 2000, 3000] },
    ],
  ] as const) {
    it(name, () => {
      const server = { heartbeatCheckMs: interval };
      const ports = idle.map((ms) => ({ heartbeatIdleMs: ms }));
      settleHeartbeat(server, ports);
      const idleMs = ports.map(({ heartbeatIdleMs }) => heartbeatIdleMs);
      assert.deepEqual({ checkIntervalMs: server.heartbeatCheckMs, idleMs }, settled);
    });
  }
});
