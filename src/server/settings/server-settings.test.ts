import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SWOOLE_BASE, SWOOLE_PROCESS, SWOOLE_THREAD } from '../../constants.ts';
import {
  maySendYield,
  type ResolvedServerSettings,
  resolveLog,
  resolveServerSettings,
  type ServerSettings,
  type SettingsContext,
  validateSettings,
} from './settings.ts';

const CONTEXT: SettingsContext = { mode: SWOOLE_PROCESS, cpuCount: 4, fdLimit: 1_000_000, portCount: 1 };

function resolve(input: ServerSettings = {}, context: Partial<SettingsContext> = {}): ResolvedServerSettings {
  return resolveServerSettings(validateSettings(input, 'server').values, { ...CONTEXT, ...context });
}

describe('resolveServerSettings', () => {
  it('has the documented defaults', () => {
    assert.deepEqual(resolve(), {
      workerNum: 4,
      reactorNum: 4,
      singleThread: false,
      taskWorkerNum: 0,
      taskIpcMode: 1,
      messageQueueKey: 0,
      taskTmpdir: '/tmp',
      taskMaxRequest: 0,
      taskMaxRequestGrace: 0,
      taskEnableCoroutine: false,
      taskObject: false,
      eventObject: false,
      maxRequest: 0,
      maxRequestGrace: 0,
      filesMissing: 0,
      maxWaitMs: 3000,
      reloadAsync: true,
      reloadTimeoutMs: 30_000,
      reloadWorkerNum: 0,
      daemonize: false,
      pidFile: null,
      user: null,
      group: null,
      chroot: null,
      openCpuAffinity: false,
      cpuAffinityIgnore: [],
      bootstrap: null,
      initArguments: null,
      enableCoroutine: true,
      entryScript: null,
      commandTimeoutMs: 5000,
      dispatch: { mode: 2, workerCount: 4, unsafeEvents: false },
      dispatchFunc: null,
      discardTimeoutRequest: false,
      enableReusePort: false,
      receiveInOrder: false,
      maxConcurrency: 4294967295,
      workerMaxConcurrency: 4294967295,
      startSessionId: 0,
      reactor: { maxConnections: 100_000, delayReceive: false, maxQueuedBytes: 0, heartbeatCheckMs: 0 },
      sendYield: true,
      sendTimeoutMs: 60_000,
      bufferOutputSize: 2 * 1024 ** 2,
      maxOutputMemory: 0,
      httpParseCookie: true,
      httpParsePost: true,
      httpParseFiles: false,
      httpCompression: true,
      httpCompressionLevel: 1,
      httpCompressionMinLength: 20,
      httpCompressionTypes: null,
      websocketCompression: false,
      uploadTmpDir: '/tmp',
      uploadMaxFilesize: 0,
      enableStaticHandler: false,
      documentRoot: '',
      staticHandlerLocations: [],
      httpAutoindex: false,
      httpIndexFiles: [],
      urlRewriteRules: [],
      http2: {
        headerTableSize: 4096,
        maxConcurrentStreams: 128,
        initWindowSize: 65535,
        maxFrameSize: 16384,
        maxHeaderListSize: 4294967295,
        maxHeaders: 1000,
      },
      log: { file: null, level: 2, dateFormat: '%F %T', dateWithMicroseconds: false, rotation: 0 },
      statsFile: null,
      statsTimerIntervalMs: 1000,
      dnsServer: null,
      warnings: [],
    });
  });

  it('takes an empty path or name as none', () => {
    const settings = resolve({
      pid_file: '',
      user: '',
      log_file: '',
      stats_file: '',
      entry_script: '',
      task_tmpdir: '',
    });
    assert.equal(settings.pidFile, null);
    assert.equal(settings.user, null);
    assert.equal(settings.log.file, null);
    assert.equal(settings.statsFile, null);
    assert.equal(settings.entryScript, null);
    assert.equal(settings.taskTmpdir, '/tmp');
  });

  it('gives times in milliseconds', () => {
    const settings = resolve({
      max_wait_time: 60,
      send_timeout: 0.5,
      command_timeout: 0.0001,
      stats_timer_interval: 20,
    });
    assert.equal(settings.maxWaitMs, 60_000);
    assert.equal(settings.sendTimeoutMs, 500);
    assert.equal(settings.commandTimeoutMs, 1);
    assert.equal(settings.statsTimerIntervalMs, 20);
    assert.equal(resolve({ command_timeout: 0 }).commandTimeoutMs, 0);
  });

  it('waits no longer than a timer of Node can', () => {
    const settings = resolve({ max_wait_time: 4294967295, command_timeout: 2592000 });
    assert.equal(settings.maxWaitMs, 864_000_000);
    assert.equal(settings.commandTimeoutMs, 864_000_000);
    assert.match(settings.warnings.join('\n'), /^max_wait_time 4294967295 .*\ncommand_timeout 2592000 /);
  });

  it('reads a setting by any of its names', () => {
    assert.equal(resolve({ max_conn: 5000 }).reactor.maxConnections, 5000);
    assert.equal(resolve({ buffer_output_size: '4M' }).bufferOutputSize, 4 * 1024 ** 2);
    assert.equal(resolve({ output_buffer_size: 10 }).bufferOutputSize, 10);
    assert.equal(resolve({ max_output_memory: '64M' }).maxOutputMemory, 64 * 1024 ** 2);
    assert.equal(resolve({ http_gzip_level: 9 }).httpCompressionLevel, 9);
    assert.equal(resolve({ task_object: true }).taskObject, true);
  });
});

describe('worker_num and reactor_num', () => {
  it('follow the mode and the number of CPUs', () => {
    const numbersOf = (mode: 1 | 2 | 3, cpuCount: number): number[] => {
      const { workerNum, reactorNum } = resolve({}, { mode, cpuCount });
      return [workerNum, reactorNum];
    };
    assert.deepEqual(numbersOf(SWOOLE_PROCESS, 2), [2, 2]);
    assert.deepEqual(numbersOf(SWOOLE_PROCESS, 64), [64, 8]);
    assert.deepEqual(numbersOf(SWOOLE_BASE, 64), [1, 1]);
    assert.deepEqual(numbersOf(SWOOLE_THREAD, 64), [64, 64]);
  });

  it('0 means one for each CPU, in every mode', () => {
    assert.equal(resolve({ worker_num: 0 }, { mode: SWOOLE_BASE }).workerNum, 4);
    assert.equal(resolve({ worker_num: 0, reactor_num: 0 }).reactorNum, 4);
  });

  it('are as many in the modes whose workers are reactors', () => {
    const base = resolve({ worker_num: 6, reactor_num: 2 }, { mode: SWOOLE_BASE });
    assert.equal(base.reactorNum, 6);
    assert.equal(base.singleThread, true);
    const thread = resolve({ worker_num: 6, reactor_num: 2, single_thread: true }, { mode: SWOOLE_THREAD });
    assert.equal(thread.reactorNum, 6);
    assert.equal(thread.singleThread, false);
  });

  it('has reactors as many as the CPUs can bear', () => {
    const settings = resolve({ worker_num: 500, reactor_num: 17 });
    assert.equal(settings.reactorNum, 16);
    assert.deepEqual(settings.warnings, ['reactor_num 17 is too many for 4 CPUs: 16 is used.']);
  });

  it('has no more reactors than workers, and says so only when they were asked for', () => {
    const asked = resolve({ worker_num: 2, reactor_num: 3 });
    assert.equal(asked.reactorNum, 2);
    assert.deepEqual(asked.warnings, ['reactor_num 3 is more than worker_num: 2 is used.']);
    const preset = resolve({ worker_num: 2 });
    assert.equal(preset.reactorNum, 2);
    assert.deepEqual(preset.warnings, []);
  });

  it('has one reactor where single_thread or a callback forces it', () => {
    const forced: [ServerSettings, Partial<SettingsContext>][] = [
      [{ single_thread: true }, {}],
      [{ dispatch_func: () => 0 }, {}],
      [{ package_length_func: () => 0 }, {}],
      [{}, { hasLengthFunction: true }],
    ];
    for (const [input, context] of forced) {
      const settings = resolve({ ...input, reactor_num: 4 }, context);
      assert.equal(settings.reactorNum, 1);
      assert.equal(settings.singleThread, true);
      assert.deepEqual(settings.warnings, []);
    }
  });
});

describe('requests and tasks after which a worker is replaced', () => {
  for (const [count, grace, expected] of [
    [0, undefined, 0],
    [0, 50, 0],
    [10, undefined, 0],
    [11, undefined, 5],
    [1000, undefined, 500],
    [1000, 0, 0],
    [1000, 7, 7],
  ] as const) {
    it(`${count} with grace ${grace} have a random extra of up to ${expected}`, () => {
      const settings = resolve({
        max_request: count,
        max_request_grace: grace,
        task_max_request: count,
        task_max_request_grace: grace,
      });
      assert.equal(settings.maxRequestGrace, expected);
      assert.equal(settings.taskMaxRequestGrace, expected);
    });
  }
});

describe('reload_async', () => {
  it('is true while enable_coroutine is, with a warning when it was asked to be false', () => {
    const settings = resolve({ reload_async: false });
    assert.equal(settings.reloadAsync, true);
    assert.equal(settings.warnings.length, 1);
    assert.match(settings.warnings[0]!, /^reload_async cannot be false while enable_coroutine is true/);
  });

  it('is free while enable_coroutine is false', () => {
    assert.equal(resolve({ enable_coroutine: false }).reloadAsync, true);
    const settings = resolve({ enable_coroutine: false, reload_async: false });
    assert.equal(settings.reloadAsync, false);
    assert.deepEqual(settings.warnings, []);
  });
});

describe('tasks', () => {
  it('cannot use a queue together with task_enable_coroutine', () => {
    assert.equal(resolve({ task_ipc_mode: 3 }).taskIpcMode, 3);
    assert.throws(() => resolve({ task_ipc_mode: 2, task_enable_coroutine: true }), {
      code: 'ERR_SETTING_VALUE',
      key: 'task_ipc_mode',
    });
    assert.equal(resolve({ task_ipc_mode: 1, task_enable_coroutine: true }).taskIpcMode, 1);
  });

  it('come as objects by any of the four settings', () => {
    for (const key of ['task_use_object', 'task_object', 'event_object', 'task_enable_coroutine']) {
      assert.equal(resolve({ [key]: true }).taskObject, true, key);
    }
  });
});

describe('cpu_affinity_ignore', () => {
  it('is taken without repetition and without CPUs that do not exist', () => {
    assert.deepEqual(resolve({ cpu_affinity_ignore: [1, 1, 0, 9] }).cpuAffinityIgnore, [1, 0]);
  });

  it('must leave a CPU', () => {
    assert.throws(() => resolve({ cpu_affinity_ignore: [0, 1, 2, 3] }), {
      code: 'ERR_SETTING_VALUE',
      key: 'cpu_affinity_ignore',
    });
  });
});

describe('dispatch_mode', () => {
  for (const mode of [1, 2, 3, 4, 5, 8, 9, 10]) {
    it(`${mode} is taken as it is`, () => {
      const settings = resolve({ dispatch_mode: mode });
      assert.equal(settings.dispatch.mode, mode);
      assert.deepEqual(settings.warnings, []);
    });
  }

  for (const mode of [0, 7, 11, 255]) {
    it(`${mode} works as 3, with a warning`, () => {
      const settings = resolve({ dispatch_mode: mode });
      assert.equal(settings.dispatch.mode, 3);
      assert.deepEqual(settings.warnings, [`dispatch_mode ${mode} does not exist (any more): it works as 3.`]);
    });
  }

  it('6 is 3 unless there is a dispatch_func', () => {
    const choose = (): number => 0;
    assert.equal(resolve({ dispatch_mode: 6 }).dispatch.mode, 3);
    const settings = resolve({ dispatch_mode: 6, dispatch_func: choose });
    assert.equal(settings.dispatch.mode, 6);
    assert.equal(settings.dispatchFunc, choose);
  });

  it('may wait in send() with dispatch_mode 2, 4 and 8', () => {
    const modes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
    assert.deepEqual(modes.filter(maySendYield), [2, 4, 8]);
  });
});

describe('max_connection', () => {
  /** Of 4 workers with a reactor each: 8 + 4 + 4 × 9 for the server, 32 for what comes and goes. */
  const LEFT_OF_1024 = 1024 - 48 - 32;

  it('is what the limit of open files leaves by default, at most 100000', () => {
    assert.equal(resolve({}, { fdLimit: 1024 }).reactor.maxConnections, LEFT_OF_1024);
    assert.equal(resolve({ max_connection: 0 }, { fdLimit: 1024 }).reactor.maxConnections, LEFT_OF_1024);
    assert.equal(resolve({}, { fdLimit: 1024, openFiles: 24 }).reactor.maxConnections, LEFT_OF_1024 - 24);
    assert.equal(resolve({}, { fdLimit: 1024, userProcessCount: 2 }).reactor.maxConnections, LEFT_OF_1024 - 6);
    assert.equal(resolve({}, { fdLimit: 1024, mode: SWOOLE_BASE }).reactor.maxConnections, 1024 - 9 - 32);
    assert.equal(resolve({ max_connection: 0 }).reactor.maxConnections, 100_000);
    assert.deepEqual(resolve({}, { fdLimit: 100 }).warnings, []);
  });

  it('keeps less back where there is little, and tells when there is too little', () => {
    const of = (fdLimit: number) => resolve({ max_connection: 1000 }, { fdLimit, openFiles: 20 });
    // 20 are open, 48 are for the server.
    assert.deepEqual([of(128).reactor.maxConnections, of(128).filesMissing], [128 - 20 - 48 - 16, 0]);
    assert.deepEqual([of(78).reactor.maxConnections, of(78).filesMissing], [1, 0]);
    assert.equal(of(77).filesMissing, 78);
    assert.equal(of(24).filesMissing, 78);
  });

  for (const [name, wanted, context, used, reason] of [
    ['is at most the number of session ids', 2_000_000, { fdLimit: 3_000_000 }, 1_048_576, 'session ids'],
    ['is at most what the limit of open files leaves', 5000, { fdLimit: 1024 }, 944, 'limit of open files'],
    ['leaves room for workers and ports', 10, { portCount: 3 }, 43, 'too few'],
  ] as const) {
    it(name, () => {
      const settings = resolve({ max_connection: wanted }, context);
      assert.equal(settings.reactor.maxConnections, used);
      assert.equal(settings.warnings.length, 1);
      assert.match(settings.warnings[0]!, new RegExp(`^max_connection ${wanted} .*${reason}.*: ${used} is used\\.$`));
    });
  }

  it('counts task workers for that room', () => {
    assert.equal(resolve({ max_connection: 1, worker_num: 2, task_worker_num: 5 }).reactor.maxConnections, 47);
    assert.deepEqual(resolve({ max_connection: 41 }).warnings, []);
  });
});

describe('concurrency', () => {
  it('of a worker is that of the server unless it is set', () => {
    assert.equal(resolve({ max_concurrency: 50 }).workerMaxConcurrency, 50);
    assert.equal(resolve({ max_concurrency: 50, worker_max_concurrency: 5 }).workerMaxConcurrency, 5);
    assert.equal(resolve({ worker_max_concurrency: 5 }).maxConcurrency, 4294967295);
  });
});

describe('heartbeat_check_interval', () => {
  it('is half of the idle time when only that is set', () => {
    assert.equal(resolve({ heartbeat_check_interval: 30, heartbeat_idle_time: 600 }).reactor.heartbeatCheckMs, 30_000);
    assert.equal(resolve({ heartbeat_idle_time: 61 }).reactor.heartbeatCheckMs, 30_000);
    assert.equal(resolve({ heartbeat_idle_time: 1 }).reactor.heartbeatCheckMs, 1000);
    assert.equal(resolve({ heartbeat_idle_time: 0 }).reactor.heartbeatCheckMs, 0);
  });
});

describe('max_queued_bytes', () => {
  it('counts only where packages wait between processes', () => {
    assert.equal(resolve({ max_queued_bytes: '1M' }).reactor.maxQueuedBytes, 1024 ** 2);
    assert.equal(resolve({ max_queued_bytes: '1M' }, { mode: SWOOLE_BASE }).reactor.maxQueuedBytes, 0);
  });
});

describe('send_yield', () => {
  it('follows enable_coroutine', () => {
    assert.equal(resolve({ enable_coroutine: false }).sendYield, false);
    assert.equal(resolve({ enable_coroutine: false, send_yield: true }).sendYield, true);
    assert.equal(resolve({ send_yield: false }).sendYield, false);
  });

  it('needs a dispatch mode that keeps a connection with its worker', () => {
    assert.equal(resolve({ dispatch_mode: 8, send_yield: true }).sendYield, true);
    const settings = resolve({ dispatch_mode: 3, send_yield: true });
    assert.equal(settings.sendYield, false);
    assert.deepEqual(settings.warnings, ['send_yield needs dispatch_mode 2, 4 or 8: it is off.']);
    const preset = resolve({ dispatch_mode: 3 });
    assert.equal(preset.sendYield, false);
    assert.deepEqual(preset.warnings, []);
  });

  it('is on by default where dispatching plays no part', () => {
    assert.equal(resolve({ dispatch_mode: 3 }, { mode: SWOOLE_BASE }).sendYield, true);
  });
});

describe('HTTP', () => {
  it('compresses when types are named', () => {
    const settings = resolve({ http_compression: false, compression_types: ['text/html', ''] });
    assert.equal(settings.httpCompression, true);
    assert.deepEqual(settings.httpCompressionTypes, new Set(['text/html']));
    assert.equal(resolve({ http_compression: false, http_compression_types: [] }).httpCompression, false);
  });

  it('leaves out locations that do not begin with a slash', () => {
    const settings = resolve({ static_handler_locations: ['/a', 'b', ''] });
    assert.deepEqual(settings.staticHandlerLocations, ['/a']);
    assert.equal(settings.warnings.length, 2);
  });

  it('keeps rewrite rules in order', () => {
    const settings = resolve({ url_rewrite_rules: { '/b': '/1', '~^/a~': '/2' } });
    assert.deepEqual(settings.urlRewriteRules, [
      ['/b', '/1'],
      ['~^/a~', '/2'],
    ]);
  });
});

describe('resolveLog', () => {
  const log = (input: ServerSettings) => resolveLog(validateSettings(input, 'server').values);

  it('logs everything with debug_mode', () => {
    assert.equal(log({ debug_mode: true, log_level: 5 }).level, 0);
    assert.equal(log({ log_level: 5 }).level, 5);
  });

  it('takes an unknown rotation as daily', () => {
    for (const rotation of [0, 1, 2, 3, 4]) assert.equal(log({ log_rotation: rotation }).rotation, rotation);
    for (const rotation of [5, 99, -1]) assert.equal(log({ log_rotation: rotation }).rotation, 2);
  });
});
