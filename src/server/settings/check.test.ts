import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TswooleError, type TswooleErrorCode } from '../../errors.ts';
import { KNOWN_SETTINGS } from './known.ts';
import { type NormalisedSettings, type PortSettings, type ServerSettings, validateSettings } from './settings.ts';

const valuesOf = (input: object): object => validateSettings(input, 'server').values;
const noticesOf = (input: object): string[] => validateSettings(input, 'server').notices;

function failureOf(input: unknown): TswooleError {
  try {
    validateSettings(input as object, 'server');
  } catch (error) {
    assert.ok(error instanceof TswooleError, String(error));
    return error;
  }
  assert.fail(`${JSON.stringify(input)} was accepted`);
}

function assertFails(input: unknown, code: TswooleErrorCode, message: string): void {
  const error = failureOf(input);
  assert.equal(error.code, code);
  assert.equal(error.message, message);
}

describe('validateSettings', () => {
  it('returns what it was given', () => {
    const input: ServerSettings = { worker_num: 4, daemonize: true, log_file: '/tmp/x', max_idle_time: 0.5 };
    assert.deepEqual(validateSettings(input, 'server'), { values: input, notices: [] });
  });

  it('takes null and undefined as absent', () => {
    assert.deepEqual(valuesOf({ worker_num: null, pid_file: undefined, user: 'www' }), { user: 'www' });
  });

  it('accepts its own result', () => {
    const input = { max_conn: 10, open_tcp_nodelay: 1, package_max_length: '8M', package_eof: '\n' };
    const { values } = validateSettings(input, 'server');
    assert.deepEqual(validateSettings(values, 'server'), { values, notices: [] });
  });

  it('does not change the input', () => {
    const input = Object.freeze({ max_conn: 10, socket_buffer_size: '1M' });
    validateSettings(input, 'server');
    assert.deepEqual(input, { max_conn: 10, socket_buffer_size: '1M' });
  });

  for (const [input, got] of [
    [null, 'null'],
    [undefined, 'undefined'],
    ['worker_num', 'the string "worker_num"'],
    [[], 'an array of 0'],
    [new Map([['worker_num', 4]]), 'a Map'],
    [() => 0, 'a function'],
  ] as const) {
    it(`refuses ${got} instead of an object`, () => {
      const message = `set() wants an object of settings, such as { worker_num: 4 }, but got ${got}.`;
      assertFails(input, 'ERR_ARGUMENT', message);
    });
  }

  it('accepts an object without a prototype and one of a class', () => {
    class Config {
      worker_num = 2;
    }
    assert.deepEqual(valuesOf(Object.assign(Object.create(null), { worker_num: 2 })), { worker_num: 2 });
    assert.deepEqual(valuesOf(new Config()), { worker_num: 2 });
  });
});

describe('an unknown setting', () => {
  const nearest: readonly (readonly [string, string])[] = [
    ['worker_nun', 'worker_num'],
    ['workers_num', 'worker_num'],
    ['worker_nmu', 'worker_num'],
    ['task_workers_num', 'task_worker_num'],
    ['heartbeat_idle_tme', 'heartbeat_idle_time'],
    ['open_length_chek', 'open_length_check'],
    ['max_request_graze', 'max_request_grace'],
    ['ssl_cert', 'ssl_cert_file'],
    ['demonize', 'daemonize'],
    ['usr', 'user'],
  ];
  for (const [wrong, right] of nearest) {
    it(`${wrong} is answered with ${right}`, () => {
      assertFails({ [wrong]: 1 }, 'ERR_SETTING_UNKNOWN', `There is no setting "${wrong}". Did you mean "${right}"?`);
    });
  }

  for (const [wrong, right] of [
    ['workerNum', 'worker_num'],
    ['Worker_Num', 'worker_num'],
    ['WORKER_NUM', 'worker_num'],
    ['worker-num', 'worker_num'],
    ['http2MaxHeaders', 'http2_max_headers'],
  ] as const) {
    it(`${wrong} is told to be written ${right}`, () => {
      const message = `There is no setting "${wrong}". Did you mean "${right}"? Names are written in lower case.`;
      assertFails({ [wrong]: 1 }, 'ERR_SETTING_UNKNOWN', message);
      assert.equal(failureOf({ [wrong]: 1 }).expected, right);
    });
  }

  for (const wrong of ['foo', 'zzzzzzzzzzzzzzzzz', '', 'constructor', 'toString', 'hasOwnProperty']) {
    it(`${JSON.stringify(wrong)} is like none, and the nearest is named all the same`, () => {
      const error = failureOf({ [wrong]: 1 });
      assert.equal(error.code, 'ERR_SETTING_UNKNOWN');
      assert.ok(KNOWN_SETTINGS.has(error.expected!));
      const advice = `The nearest known one is "${error.expected}": use it, or leave "${wrong}" out.`;
      assert.equal(error.message, `There is no setting "${wrong}". ${advice}`);
    });
  }

  it('__proto__ as a key of its own is unknown too', () => {
    assert.equal(failureOf(JSON.parse('{"__proto__": {"worker_num": 4}}')).code, 'ERR_SETTING_UNKNOWN');
  });

  it('is absent when it has no value', () => {
    assert.deepEqual(valuesOf({ workerNum: undefined }), {});
  });
});

describe('a boolean', () => {
  for (const [given, value] of [
    [true, true],
    [false, false],
    [1, true],
    [0, false],
  ] as const) {
    it(`${given} is ${value}`, () => {
      assert.deepEqual(valuesOf({ daemonize: given }), { daemonize: value });
    });
  }

  for (const [given, got] of [
    ['1', 'the string "1"'],
    ['', 'the string ""'],
    [2, '2'],
    [[], 'an array of 0'],
    [{}, 'an object'],
  ] as const) {
    it(`is not ${got}`, () => {
      const message = `The setting "daemonize" wants a boolean (true, false, 1 or 0), but got ${got}.`;
      assertFails({ daemonize: given }, 'ERR_SETTING_TYPE', message);
    });
  }
});

describe('a whole number', () => {
  for (const [given, got] of [
    ['4', 'the string "4"'],
    [true, 'true'],
    [2.5, '2.5'],
    [Number.NaN, 'NaN'],
    [Number.POSITIVE_INFINITY, 'Infinity'],
    [4n, 'the bigint 4n'],
    [[4], 'an array of 1'],
  ] as const) {
    it(`is not ${got}`, () => {
      const message = `The setting "worker_num" wants a whole number from 0 to 4294967295, but got ${got}.`;
      assertFails({ worker_num: given }, 'ERR_SETTING_TYPE', message);
    });
  }

  for (const [key, given, used, span] of [
    ['worker_num', -1, 0, '0 to 4294967295'],
    ['worker_num', 2 ** 32, 2 ** 32 - 1, '0 to 4294967295'],
    ['backlog', 70000, 65535, '0 to 65535'],
    ['dispatch_mode', 300, 255, '0 to 255'],
    ['log_level', 9, 6, '0 to 6'],
    ['stats_timer_interval', 0, 1, '1 to 2147483647'],
    ['heartbeat_idle_time', 100000, 65535, '0 to 65535'],
    ['tcp_keepcount', 1000, 127, '1 to 127'],
  ] as const) {
    it(`${key} ${given} becomes ${used}, with a notice`, () => {
      assert.deepEqual(validateSettings({ [key]: given }, 'server'), {
        values: { [key]: used },
        notices: [`The setting "${key}" is ${given}, outside ${span}: ${used} is used.`],
      });
    });
  }

  for (const [key, given] of [
    ['http2_max_headers', 0],
    ['upload_max_filesize', -1],
    ['http_compression_min_length', -1],
    ['http2_max_frame_size', 100],
    ['tcp_keepidle', 0],
  ] as const) {
    it(`${key} ${given} is left out, with a notice`, () => {
      const { values, notices } = validateSettings({ [key]: given }, 'server');
      assert.deepEqual(values, {});
      assert.equal(notices.length, 1);
      assert.match(notices[0]!, /it is left out\.$/);
    });
  }

  for (const key of ['package_length_offset', 'package_body_offset', 'package_body_start']) {
    it(`${key} is at most 8152`, () => {
      assert.equal(failureOf({ [key]: 8153 }).code, 'ERR_SETTING_VALUE');
      assert.equal(failureOf({ [key]: -1 }).message, `The setting "${key}" wants a number from 0 to 8152, but got -1.`);
      valuesOf({ [key]: 8152 });
    });
  }
});

describe('a time that may be a fraction', () => {
  it('is a finite number', () => {
    assert.deepEqual(valuesOf({ send_timeout: 0.25, command_timeout: 5 }), { send_timeout: 0.25, command_timeout: 5 });
    for (const wrong of ['1', Number.NaN, Number.POSITIVE_INFINITY, true]) {
      assert.equal(failureOf({ max_idle_time: wrong }).code, 'ERR_SETTING_TYPE');
    }
  });

  it('is not negative', () => {
    assert.deepEqual(valuesOf({ send_timeout: -1 }), { send_timeout: 0 });
  });
});

describe('a size', () => {
  for (const [given, bytes] of [
    [4096, 4096],
    ['4096', 4096],
    ['8K', 8192],
    ['8m', 8 * 1024 ** 2],
    ['1G', 1024 ** 3],
    [' 2 M ', 2 * 1024 ** 2],
    ['-1', -1],
    ['0', 0],
  ] as const) {
    it(`${JSON.stringify(given)} is ${bytes}`, () => {
      assert.deepEqual(valuesOf({ socket_buffer_size: given }), { socket_buffer_size: bytes });
    });
  }

  for (const wrong of ['', 'M', '8MB', '8T', '1.5M', '0x10', 'eight']) {
    it(`is not ${JSON.stringify(wrong)}`, () => {
      const wanted = 'a number of bytes, or a string such as "512K", "8M" or "1G"';
      const message = `The setting "package_max_length" wants ${wanted}, but got the string "${wrong}".`;
      assertFails({ package_max_length: wrong }, 'ERR_SETTING_VALUE', message);
    });
  }

  for (const wrong of [true, 1.5, Number.NaN, [], { bytes: 1 }]) {
    it(`is not ${JSON.stringify(wrong)}`, () => {
      assert.equal(failureOf({ package_max_length: wrong }).code, 'ERR_SETTING_TYPE');
    });
  }

  it('is clamped', () => {
    assert.deepEqual(valuesOf({ package_max_length: '8G' }), { package_max_length: 4294967295 });
    assert.deepEqual(valuesOf({ socket_buffer_size: '8G' }), { socket_buffer_size: 2147483647 });
  });
});

describe('a string', () => {
  it('is a string', () => {
    assertFails({ user: 33 }, 'ERR_SETTING_TYPE', 'The setting "user" wants a string, but got 33.');
  });

  it('for document_root has at most 4095 bytes', () => {
    valuesOf({ document_root: 'x'.repeat(4095) });
    const message = 'The setting "document_root" wants at most 4095 bytes, but got 4096 bytes.';
    assertFails({ document_root: 'ü'.repeat(2048) }, 'ERR_SETTING_VALUE', message);
  });
});

describe('package_eof', () => {
  it('is 1 to 8 bytes, as a string or as bytes', () => {
    for (const eof of ['\n', '12345678', '\u00fc\u00fc\u00fc\u00fc', Uint8Array.of(0, 255), Buffer.from('x')]) {
      assert.deepEqual(valuesOf({ package_eof: eof }), { package_eof: eof });
    }
    const wanted = 'The setting "package_eof" wants 1 to 8 bytes as a string or Uint8Array, but got';
    assertFails({ package_eof: '' }, 'ERR_SETTING_VALUE', `${wanted} 0 bytes.`);
    assertFails({ package_eof: '123456789' }, 'ERR_SETTING_VALUE', `${wanted} 9 bytes.`);
    assertFails({ package_eof: new Uint8Array(0) }, 'ERR_SETTING_VALUE', `${wanted} 0 bytes.`);
    assertFails({ package_eof: 10 }, 'ERR_SETTING_TYPE', `${wanted} 10.`);
  });
});

describe('package_length_type', () => {
  it('is one of the letters of pack()', () => {
    for (const letter of 'cCsSnvlLNVqQJP') valuesOf({ package_length_type: letter });
    const wanted = 'The setting "package_length_type" wants one of c, C, s, S, n, v, l, L, N, V, q, Q, J, P, but got';
    assertFails({ package_length_type: 'x' }, 'ERR_SETTING_VALUE', `${wanted} the string "x".`);
    assertFails({ package_length_type: 'NN' }, 'ERR_SETTING_VALUE', `${wanted} the string "NN".`);
    assertFails({ package_length_type: 4 }, 'ERR_SETTING_TYPE', `${wanted} 4.`);
  });
});

describe('task_ipc_mode', () => {
  it('is 1, 2 or 3', () => {
    for (const mode of [1, 2, 3]) valuesOf({ task_ipc_mode: mode });
    assertFails(
      { task_ipc_mode: 4 },
      'ERR_SETTING_VALUE',
      'The setting "task_ipc_mode" wants one of 1, 2, 3, but got 4.',
    );
    assert.equal(failureOf({ task_ipc_mode: '1' }).code, 'ERR_SETTING_TYPE');
  });
});

describe('a function', () => {
  for (const key of ['dispatch_func', 'package_length_func', 'init_arguments']) {
    it(`is wanted for ${key}`, () => {
      const call = (): number => 0;
      assert.deepEqual(valuesOf({ [key]: call }), { [key]: call });
      const message = `The setting "${key}" wants a function, but got the string "my_func".`;
      assertFails({ [key]: 'my_func' }, 'ERR_SETTING_TYPE', message);
    });
  }
});

describe('lists and maps', () => {
  for (const key of ['static_handler_locations', 'http_index_files', 'http_compression_types', 'compression_types']) {
    it(`${key} is an array of strings`, () => {
      valuesOf({ [key]: [] });
      valuesOf({ [key]: ['/a', '/b'] });
      const wanted = `The setting "${key}" wants an array of strings, but got`;
      assertFails({ [key]: '/a' }, 'ERR_SETTING_TYPE', `${wanted} the string "/a".`);
      assertFails({ [key]: ['/a', 1] }, 'ERR_SETTING_TYPE', `${wanted} an array of 2 that holds 1.`);
      assertFails({ [key]: [undefined] }, 'ERR_SETTING_TYPE', `${wanted} an array of 1 that holds undefined.`);
    });
  }

  it('cpu_affinity_ignore is an array of CPU numbers', () => {
    valuesOf({ cpu_affinity_ignore: [0, 1] });
    assert.equal(failureOf({ cpu_affinity_ignore: 0 }).code, 'ERR_SETTING_TYPE');
    assert.equal(failureOf({ cpu_affinity_ignore: ['0'] }).code, 'ERR_SETTING_TYPE');
    assert.equal(failureOf({ cpu_affinity_ignore: [-1] }).code, 'ERR_SETTING_VALUE');
  });

  it('url_rewrite_rules maps strings to strings', () => {
    valuesOf({ url_rewrite_rules: { '/a': '/b' } });
    const message = 'The setting "url_rewrite_rules" wants an object whose values are strings, but got';
    assertFails({ url_rewrite_rules: { '/a': 1 } }, 'ERR_SETTING_TYPE', `${message} an object that holds 1.`);
    assert.equal(failureOf({ url_rewrite_rules: [['/a', '/b']] }).code, 'ERR_SETTING_TYPE');
  });

  it('ssl_sni_certs maps host names to pairs of files', () => {
    valuesOf({ ssl_sni_certs: { 'a.org': { ssl_cert_file: 'a.crt', ssl_key_file: 'a.key' } } });
    for (const wrong of [
      [],
      'a.crt',
      { 'a.org': 'a.crt' },
      { 'a.org': { ssl_cert_file: 'a.crt' } },
      { 'a.org': null },
    ]) {
      assert.equal(failureOf({ ssl_sni_certs: wrong }).code, 'ERR_SETTING_TYPE');
    }
    const pair = { ssl_cert_file: 'a.crt', ssl_key_file: 'a.key' };
    valuesOf({ ssl_sni_certs: { '*.a.org': pair } });
    for (const host of ['sub*.a.org', 'a.*.org', '*', '*.*.org', '*a.org'])
      assertFails(
        { ssl_sni_certs: { 'b.org': pair, [host]: pair } },
        'ERR_SETTING_VALUE',
        `The setting "ssl_sni_certs" wants host names whose star, if any, is all of the first label ("*.b.org"), but got "${host}".`,
      );
  });
});

describe('a setting with several names', () => {
  it('is stored under each', () => {
    assert.deepEqual(valuesOf({ max_conn: 10 }), { max_connection: 10, max_conn: 10 });
    assert.deepEqual(valuesOf({ buffer_output_size: '4M' }), valuesOf({ output_buffer_size: '4M' }));
    assert.deepEqual(valuesOf({ http_gzip_level: 3 }), {
      http_compression_level: 3,
      compression_level: 3,
      http_gzip_level: 3,
    });
  });

  it('has the last value in a later call, whatever the name', () => {
    const merged = { ...valuesOf({ max_conn: 10 }), ...valuesOf({ max_connection: 20 }) };
    assert.deepEqual(merged, { max_connection: 20, max_conn: 20 });
  });

  it('takes the canonical name when both are given, in either order', () => {
    const expected = {
      values: { max_connection: 20, max_conn: 20 },
      notices: ['The setting "max_conn" is another name of "max_connection", which is set too and counts.'],
    };
    assert.deepEqual(validateSettings({ max_conn: 10, max_connection: 20 }, 'server'), expected);
    assert.deepEqual(validateSettings({ max_connection: 20, max_conn: 10 }, 'server'), expected);
  });

  it('takes the other name when the canonical one is null', () => {
    assert.deepEqual(validateSettings({ max_connection: null, max_conn: 10 }, 'server'), {
      values: { max_connection: 10, max_conn: 10 },
      notices: [],
    });
  });
});

describe('a setting without effect', () => {
  it('is accepted with one notice that names the reason', () => {
    assert.deepEqual(validateSettings({ hook_flags: 0x7fffffff }, 'server'), {
      values: { hook_flags: 0x7fffffff },
      notices: ['The setting "hook_flags" has no effect: it belongs to PHP coroutines; JavaScript has promises.'],
    });
  });

  it('is accepted whatever its value, where it is not ours', () => {
    for (const [name, { noEffect, type }] of KNOWN_SETTINGS) {
      if (noEffect === undefined || type.kind !== 'any') continue;
      assert.equal(noticesOf({ [name]: Symbol('odd') }).length, 1, name);
      assert.equal(noticesOf({ [name]: false }).length, 1, name);
    }
  });

  it('is checked where it is to have an effect one day', () => {
    const message = 'The setting "http_compression" wants a boolean (true, false, 1 or 0), but got the string "br".';
    assertFails({ http_compression: 'br' }, 'ERR_SETTING_TYPE', message);
    assert.deepEqual(validateSettings({ http_compression: true, max_concurrency: 0 }, 'server'), {
      values: { http_compression: true, max_concurrency: 1 },
      notices: [
        'The setting "http_compression" has no effect: HTTP is not implemented yet; serve it with node:http.',
        'The setting "max_concurrency" is 0, outside 1 to 4294967295: 1 is used.',
        'The setting "max_concurrency" has no effect: HTTP is not implemented yet; serve it with node:http.',
      ],
    });
  });

  it('is told of in one sentence for each that is used, and what happens in its place', () => {
    const notices = noticesOf({
      open_http_protocol: true,
      open_websocket_ping_frame: 1,
      send_yield: true,
      bootstrap: '',
    });
    assert.deepEqual(notices, [
      'The setting "open_http_protocol" has no effect: HTTP is not implemented yet; unless packages end by eof or length, the port delivers raw bytes.',
      'The setting "open_websocket_ping_frame" has no effect: WebSocket is not implemented yet.',
      'The setting "send_yield" has no effect: send never waits; await sendAsync, which waits for room with or without it.',
      'The setting "bootstrap" has no effect: SWOOLE_THREAD is not implemented yet; use SWOOLE_PROCESS or SWOOLE_BASE.',
    ]);
  });

  it('is not told of where it is switched off', () => {
    assert.deepEqual(noticesOf({ open_http_protocol: false, http_compression: 0, send_yield: false }), []);
  });

  it('is not told of where it is left out', () => {
    assert.deepEqual(noticesOf({ http2_max_headers: 0 }), [
      'The setting "http2_max_headers" is 0, outside 1 to 4294967295: it is left out.',
    ]);
  });

  it('is named as the user wrote it', () => {
    assert.match(noticesOf({ stack_size: 1 })[0]!, /^The setting "stack_size" /);
  });
});

describe('port.set', () => {
  it('takes the settings of a port', () => {
    const { notices } = validateSettings({ open_eof_split: true, backlog: 10, ssl_cert_file: 'x' }, 'port');
    assert.deepEqual(notices, []);
  });

  it('accepts those of the server with a notice', () => {
    assert.deepEqual(validateSettings({ worker_num: 4 }, 'port'), {
      values: { worker_num: 4 },
      notices: [
        'The setting "worker_num" belongs to the whole server and does nothing in port.set(): give it to server.set().',
      ],
    });
  });

  it('checks those of the server all the same', () => {
    assert.throws(() => validateSettings({ worker_num: '4' }, 'port'), { code: 'ERR_SETTING_TYPE' });
  });

  it('gives one notice only for one that has no effect anywhere', () => {
    assert.equal(validateSettings({ hook_flags: 1 }, 'port').notices.length, 1);
  });
});

describe('the types', () => {
  it('refuse at compile time what validateSettings refuses', () => {
    // @ts-expect-error: the name is worker_num.
    const unknown: ServerSettings = { workerNum: 4 };
    // @ts-expect-error: a number is wanted.
    const text: ServerSettings = { worker_num: '4' };
    // @ts-expect-error: it belongs to the server.
    const port: PortSettings = { worker_num: 4 };
    // @ts-expect-error: 2 is not a boolean.
    const flag: PortSettings = { open_tcp_nodelay: 2 };
    assert.equal([unknown, text, port, flag].length, 4);
  });

  it('of validated settings are the plain ones', () => {
    const values: NormalisedSettings = validateSettings({ package_max_length: '8M', daemonize: 1 }, 'server').values;
    const bytes: number | undefined = values.package_max_length;
    const background: boolean | undefined = values.daemonize;
    assert.deepEqual([bytes, background], [8 * 1024 ** 2, true]);
    const again: ServerSettings = values;
    assert.equal(again, values);
  });

  it('let dispatch_func name the class of its server', () => {
    const settings: ServerSettings = { dispatch_func: (server: { worker_num: number }, fd) => fd % server.worker_num };
    assert.equal(settings.dispatch_func?.({ worker_num: 4 }, 6, 0), 2);
  });
});
