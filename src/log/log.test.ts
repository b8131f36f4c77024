import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { after, beforeEach, describe, it } from 'node:test';
import {
  SWOOLE_LOG_DEBUG,
  SWOOLE_LOG_ERROR,
  SWOOLE_LOG_INFO,
  SWOOLE_LOG_NONE,
  SWOOLE_LOG_NOTICE,
  SWOOLE_LOG_ROTATION_DAILY,
  SWOOLE_LOG_ROTATION_EVERY_MINUTE,
  SWOOLE_LOG_ROTATION_HOURLY,
  SWOOLE_LOG_ROTATION_MONTHLY,
  SWOOLE_LOG_TRACE,
  SWOOLE_LOG_WARNING,
} from '../constants.ts';
import { SO_SNDBUF, SOCK_STREAM, SOL_SOCKET } from '../sys/constants.ts';
import { setOption } from '../sys/socket.ts';
import { openSocketPair, receiveNow } from '../sys/socket-pair.ts';
import { Logger } from './log.ts';

process.env.TZ = 'UTC';
const root = fs.mkdtempSync(path.join(os.tmpdir(), 'tswoole-log-'));
const openFds: number[] = [];
const START_MS = Date.UTC(2026, 10, 20, 23, 59, 58, 123);

let directory: string;
let nowMs: number;
let logger: Logger;

beforeEach(() => {
  directory = fs.mkdtempSync(path.join(root, 'case-'));
  nowMs = START_MS;
  // What would go to standard output goes to a file, so that tests can read it.
  const fd = fs.openSync(path.join(directory, 'stdout'), 'a');
  openFds.push(fd);
  logger = new Logger(fd, () => nowMs);
  logger.setRole('*', 3, 4711);
});

after(() => {
  for (const fd of openFds) fs.closeSync(fd);
  fs.rmSync(root, { recursive: true });
});

const at = (name: string): string => path.join(directory, name);
const read = (name: string): string => fs.readFileSync(at(name), 'utf8');

describe('a line', () => {
  it('has date, role symbol, pid, worker id, level and text', () => {
    logger.log(SWOOLE_LOG_INFO, 'hello');
    assert.equal(read('stdout'), '[2026-11-20 23:59:58 *4711.3]\tINFO\thello\n');
  });

  it('shows an error code', () => {
    logger.log(SWOOLE_LOG_WARNING, 'no idle worker', 9007);
    assert.equal(read('stdout'), '[2026-11-20 23:59:58 *4711.3]\tWARNING\t(error 9007): no idle worker\n');
  });

  it('takes this process and the symbol of no role until it is told', () => {
    const fd = fs.openSync(at('other'), 'a');
    openFds.push(fd);
    new Logger(fd, () => nowMs).log(SWOOLE_LOG_INFO, 'x');
    assert.equal(read('other'), `[2026-11-20 23:59:58 %${process.pid}.0]\tINFO\tx\n`);
  });

  it('names every level', () => {
    logger.configure({ level: SWOOLE_LOG_DEBUG });
    logger.log(SWOOLE_LOG_DEBUG, 'a');
    logger.log(SWOOLE_LOG_TRACE, 'b');
    logger.log(SWOOLE_LOG_INFO, 'c');
    logger.log(SWOOLE_LOG_NOTICE, 'd');
    logger.log(SWOOLE_LOG_WARNING, 'e');
    logger.log(SWOOLE_LOG_ERROR, 'f');
    const levels = [...read('stdout').matchAll(/\t([A-Z]+)\t/g)].map((match) => match[1]);
    assert.deepEqual(levels, ['DEBUG', 'TRACE', 'INFO', 'NOTICE', 'WARNING', 'ERROR']);
  });

  it('gets a new date when the second changes', () => {
    logger.log(SWOOLE_LOG_INFO, 'a');
    nowMs += 1000;
    logger.log(SWOOLE_LOG_INFO, 'b');
    assert.match(read('stdout'), /23:59:58 .*\ta\n.*23:59:59 .*\tb\n/);
  });

  it('keeps text that is not ASCII', () => {
    logger.log(SWOOLE_LOG_INFO, '日志 ✓');
    assert.match(read('stdout'), /\t日志 ✓\n$/);
  });
});

describe('the level', () => {
  it('is INFO at first', () => {
    logger.log(SWOOLE_LOG_TRACE, 'dropped');
    logger.log(SWOOLE_LOG_INFO, 'kept');
    assert.match(read('stdout'), /^\[[^\n]*kept\n$/);
  });

  it('drops what is below', () => {
    logger.configure({ level: SWOOLE_LOG_WARNING });
    logger.log(SWOOLE_LOG_NOTICE, 'dropped');
    logger.log(SWOOLE_LOG_WARNING, 'kept');
    assert.match(read('stdout'), /^\[[^\n]*kept\n$/);
    assert.equal(logger.level, SWOOLE_LOG_WARNING);
  });

  it('NONE drops everything', () => {
    logger.configure({ level: SWOOLE_LOG_NONE });
    logger.log(SWOOLE_LOG_ERROR, 'dropped');
    logger.log(SWOOLE_LOG_NONE, 'dropped');
    assert.equal(read('stdout'), '');
  });
});

describe('once', () => {
  it('logs a key the first time only', () => {
    assert.equal(logger.once('hook_flags', SWOOLE_LOG_NOTICE, 'first'), true);
    assert.equal(logger.once('hook_flags', SWOOLE_LOG_NOTICE, 'second'), false);
    assert.equal(logger.once('other', SWOOLE_LOG_ERROR, 'third', 505), true);
    assert.match(read('stdout'), /NOTICE\tfirst\n.*ERROR\t\(error 505\): third\n$/);
  });
});

describe('the date', () => {
  it('takes a format', () => {
    logger.configure({ dateFormat: '%d/%b %H' });
    logger.log(SWOOLE_LOG_INFO, 'x');
    assert.match(read('stdout'), /^\[20\/Nov 23 \*/);
  });

  it('takes a new format within the same second', () => {
    logger.log(SWOOLE_LOG_INFO, 'a');
    logger.configure({ dateFormat: '%Y' });
    logger.log(SWOOLE_LOG_INFO, 'b');
    assert.match(read('stdout'), /\ta\n\[2026 \*/);
  });

  it('refuses a format whose result is longer than 127 bytes', () => {
    logger.configure({ dateFormat: '%B'.repeat(16) });
    logger.log(SWOOLE_LOG_INFO, 'x');
    assert.match(read('stdout'), /^\[2026-[^\n]*WARNING\t\(error 505\): log_date_format [^\n]*128[^\n]*\n\[2026-/);
  });

  it('accepts a result of exactly 127 bytes', () => {
    logger.configure({ dateFormat: `${'%B'.repeat(15)}1234567` });
    logger.log(SWOOLE_LOG_INFO, 'x');
    assert.match(read('stdout'), /^\[(November){15}1234567 /);
  });

  it('refuses an empty format', () => {
    logger.configure({ dateFormat: '' });
    assert.match(read('stdout'), /\(error 505\)/);
  });

  it('has six digits of microseconds on request', () => {
    nowMs = START_MS - 123 + 0.042;
    logger.configure({ dateWithMicroseconds: true });
    logger.log(SWOOLE_LOG_INFO, 'x');
    assert.match(read('stdout'), /^\[2026-11-20 23:59:58<\.000042> \*/);
  });

  it('comes from the real clock by default', () => {
    const fd = fs.openSync(at('real'), 'a');
    openFds.push(fd);
    const real = new Logger(fd);
    real.configure({ dateFormat: '%s' });
    const before = Math.floor(Date.now() / 1000);
    real.log(SWOOLE_LOG_INFO, 'x');
    const seconds = Number(/^\[(\d+) /.exec(read('real'))![1]);
    assert.ok(seconds >= before && seconds <= before + 2, `seconds=${seconds} before=${before}`);
  });
});

describe('a file', () => {
  it('is appended to', () => {
    fs.writeFileSync(at('log'), 'old\n');
    logger.configure({ file: at('log') });
    logger.log(SWOOLE_LOG_INFO, 'new');
    assert.match(read('log'), /^old\n\[.*\tnew\n$/);
    assert.equal(read('stdout'), '');
  });

  it('is made for everybody whom the umask allows', () => {
    const umask = process.umask(0o022);
    logger.configure({ file: at('log') });
    process.umask(umask);
    assert.equal(fs.statSync(at('log')).mode & 0o777, 0o644);
  });

  it('that cannot be opened leaves the log on standard output, with a warning', () => {
    logger.configure({ file: at('no/such/log') });
    logger.log(SWOOLE_LOG_INFO, 'still here');
    assert.match(read('stdout'), /WARNING\t\(error 502\): ENOENT.*\n.*\tstill here\n$/);
  });

  it('is opened anew by reopen', () => {
    logger.configure({ file: at('log') });
    logger.log(SWOOLE_LOG_INFO, 'before');
    fs.renameSync(at('log'), at('log.1'));
    logger.log(SWOOLE_LOG_INFO, 'between');
    logger.reopen();
    logger.log(SWOOLE_LOG_INFO, 'behind');
    assert.match(read('log.1'), /before\n.*between\n$/);
    assert.match(read('log'), /^[^\n]*behind\n$/);
  });

  it('stays in use when reopening fails', () => {
    fs.mkdirSync(at('sub'));
    logger.configure({ file: at('sub/log') });
    fs.renameSync(at('sub'), at('moved'));
    logger.reopen();
    logger.log(SWOOLE_LOG_INFO, 'kept');
    assert.match(read('moved/log'), /\(error 502\).*\n.*kept\n$/);
    fs.mkdirSync(at('sub'));
    logger.reopen();
    logger.log(SWOOLE_LOG_INFO, 'back');
    assert.match(read('sub/log'), /back\n$/);
  });

  it('can be tried again after it could not be opened', () => {
    logger.configure({ file: at('sub/log') });
    fs.mkdirSync(at('sub'));
    logger.reopen();
    logger.log(SWOOLE_LOG_INFO, 'there');
    assert.match(read('sub/log'), /there\n$/);
  });

  it('is not opened twice when it is configured twice', () => {
    logger.configure({ file: at('log') });
    const { fd } = logger;
    logger.configure({ file: at('log'), level: SWOOLE_LOG_DEBUG });
    assert.equal(logger.fd, fd);
  });

  it('is let go by null and by close', () => {
    const stdout = logger.fd;
    logger.configure({ file: at('log') });
    assert.notEqual(logger.fd, stdout);
    logger.configure({ file: null });
    assert.equal(logger.fd, stdout);
    logger.configure({ file: at('log') });
    logger.close();
    logger.log(SWOOLE_LOG_INFO, 'x');
    assert.equal(logger.fd, stdout);
    assert.match(read('stdout'), /\tx\n$/);
  });

  it('does not leak descriptors', () => {
    logger.configure({ file: at('log') });
    const before = fs.readdirSync('/proc/self/fd').length;
    for (let round = 0; round < 20; round++) logger.reopen();
    assert.equal(fs.readdirSync('/proc/self/fd').length, before);
  });
});

describe('rotation', () => {
  const suffixes: readonly (readonly [number, string])[] = [
    [SWOOLE_LOG_ROTATION_MONTHLY, '202611'],
    [SWOOLE_LOG_ROTATION_DAILY, '20261120'],
    [SWOOLE_LOG_ROTATION_HOURLY, '2026112023'],
    [SWOOLE_LOG_ROTATION_EVERY_MINUTE, '202611202359'],
  ];
  for (const [rotation, suffix] of suffixes) {
    it(`${rotation} writes to log.${suffix}`, () => {
      logger.configure({ file: at('log'), rotation });
      logger.log(SWOOLE_LOG_INFO, 'x');
      assert.match(read(`log.${suffix}`), /\tx\n$/);
      assert.equal(fs.existsSync(at('log')), false);
    });
  }

  it('goes to the next file when the time comes', () => {
    logger.configure({ file: at('log'), rotation: SWOOLE_LOG_ROTATION_DAILY });
    logger.log(SWOOLE_LOG_INFO, 'today');
    nowMs += 2000;
    logger.log(SWOOLE_LOG_INFO, 'tomorrow');
    assert.match(read('log.20261120'), /^[^\n]*today\n$/);
    assert.match(read('log.20261121'), /^[^\n]*tomorrow\n$/);
  });

  it('that cannot open the next file warns once and goes on', () => {
    fs.mkdirSync(at('sub'));
    logger.configure({ file: at('sub/log'), rotation: SWOOLE_LOG_ROTATION_DAILY });
    fs.renameSync(at('sub'), at('moved'));
    nowMs += 2000;
    logger.log(SWOOLE_LOG_INFO, 'a');
    logger.log(SWOOLE_LOG_INFO, 'b');
    const lines = read('moved/log.20261120').trimEnd().split('\n');
    assert.deepEqual(
      lines.map((line) => /\t(\(error 502\)|a|b)/.exec(line)?.[1]),
      ['(error 502)', 'a', 'b'],
    );
  });

  it('can be turned on for a file in use', () => {
    logger.configure({ file: at('log') });
    logger.configure({ rotation: SWOOLE_LOG_ROTATION_MONTHLY });
    logger.log(SWOOLE_LOG_INFO, 'x');
    assert.match(read('log.202611'), /\tx\n$/);
  });
});

describe('a write that fails', () => {
  it('is dropped and counted on a full disk', () => {
    const fd = fs.openSync('/dev/full', 'w');
    openFds.push(fd);
    const full = new Logger(fd, () => nowMs);
    full.log(SWOOLE_LOG_INFO, 'x');
    full.log(SWOOLE_LOG_INFO, 'y');
    assert.equal(full.droppedLines, 2);
  });

  it('is dropped and counted on a closed descriptor', () => {
    const fd = fs.openSync(at('gone'), 'a');
    const gone = new Logger(fd, () => nowMs);
    fs.closeSync(fd);
    gone.log(SWOOLE_LOG_INFO, 'x');
    assert.equal(gone.droppedLines, 1);
  });
});

describe('a descriptor that is full', () => {
  /** Makes writeSync fail as a pipe that nobody reads does, `failures` times. */
  function failWrites(failures: number, code: string): () => number {
    let calls = 0;
    const original = fs.writeSync;
    const failing = (...args: unknown[]): number => {
      calls++;
      if (calls <= failures) throw Object.assign(new Error(code), { errno: -os.constants.errno[code as 'EAGAIN'] });
      return Reflect.apply(original, fs, args);
    };
    fs.writeSync = failing as typeof fs.writeSync;
    syncBuiltinESMExports();
    return () => {
      fs.writeSync = original;
      syncBuiltinESMExports();
      return calls;
    };
  }

  it('is tried again', () => {
    const restore = failWrites(3, 'EAGAIN');
    logger.log(SWOOLE_LOG_INFO, 'patient');
    assert.equal(restore(), 4);
    assert.match(read('stdout'), /patient\n$/);
    assert.equal(logger.droppedLines, 0);
  });

  it('is tried again after a signal', () => {
    const restore = failWrites(2, 'EINTR');
    logger.log(SWOOLE_LOG_INFO, 'patient');
    assert.equal(restore(), 3);
    assert.match(read('stdout'), /patient\n$/);
  });

  it('is given up after a while, and the next line does not wait again', () => {
    const restore = failWrites(Number.POSITIVE_INFINITY, 'EAGAIN');
    logger.log(SWOOLE_LOG_INFO, 'a');
    logger.log(SWOOLE_LOG_INFO, 'b');
    assert.equal(restore(), 52);
    assert.equal(logger.droppedLines, 2);
    logger.log(SWOOLE_LOG_INFO, 'c');
    assert.match(read('stdout'), /^[^\n]*WARNING\t2 lines of the log were lost[^\n]*\n[^\n]*\tc\n$/);
  });

  it('is given up at once when nobody reads', () => {
    const restore = failWrites(1, 'EPIPE');
    logger.log(SWOOLE_LOG_INFO, 'a');
    assert.equal(restore(), 1);
    assert.equal(logger.droppedLines, 1);
  });
});

describe('what blocks whoever writes to it', () => {
  /** Fills it, then reads it empty; answers what was read. */
  function flood(full: Logger, readAll: () => string): void {
    const began = performance.now();
    for (let i = 0; i < 20_000; i++) full.log(SWOOLE_LOG_INFO, `line ${i}`);
    // Once it waits for a moment, and never again soon.
    assert.ok(performance.now() - began < 5000);
    const lost = full.droppedLines;
    assert.ok(lost > 0);
    let text = readAll();
    const before = text.split('\tline ').length - 1;
    full.log(SWOOLE_LOG_INFO, 'again');
    full.log(SWOOLE_LOG_INFO, 'and again');
    text = readAll();
    assert.match(
      text,
      new RegExp(`^\n?[^\n]*WARNING\\t${lost} lines of the log were lost[^\n]*\n[^\n]*\\tagain\n[^\n]*again\n$`),
    );
    assert.equal(full.droppedLines, lost);
    // The last one may have been torn.
    assert.ok(before + lost - 20_000 <= 1 && before + lost >= 20_000);
  }

  it('as a pipe does, holds nobody up: what does not fit is lost, and that is told', () => {
    execFileSync('mkfifo', [at('pipe')]);
    const reader = fs.openSync(at('pipe'), fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
    const writer = fs.openSync(at('pipe'), 'a');
    openFds.push(reader, writer);
    flood(new Logger(writer, () => nowMs), () => {
      const buffer = Buffer.alloc(1024 * 1024);
      let length = 0;
      try {
        for (;;) length += fs.readSync(reader, buffer, { offset: length });
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN');
      }
      return buffer.toString('utf8', 0, length);
    });
  });

  it('as a socket does, holds nobody up either', () => {
    const pair = openSocketPair(SOCK_STREAM);
    assert.ok(Array.isArray(pair));
    openFds.push(...pair);
    setOption(pair[0], SOL_SOCKET, SO_SNDBUF, 65536);
    flood(new Logger(pair[0], () => nowMs), () => {
      const parts: Buffer[] = [];
      for (;;) {
        const part = receiveNow(pair[1], 65536);
        if (typeof part === 'number') return Buffer.concat(parts).toString();
        parts.push(part);
      }
    });
  });

  it('and is another file now, is written to as that', () => {
    execFileSync('mkfifo', [at('pipe')]);
    openFds.push(fs.openSync(at('pipe'), fs.constants.O_RDONLY | fs.constants.O_NONBLOCK));
    const fd = fs.openSync(at('pipe'), 'a');
    const moving = new Logger(fd, () => nowMs);
    moving.log(SWOOLE_LOG_INFO, 'to the pipe');
    fs.closeSync(fd);
    assert.equal(fs.openSync(at('file'), 'a'), fd);
    openFds.push(fd);
    moving.log(SWOOLE_LOG_INFO, 'to the file');
    assert.match(read('file'), /\tto the file\n$/);
  });

  it('as a log file that is a pipe nobody reads, is not waited for', () => {
    execFileSync('mkfifo', [at('pipe')]);
    logger.configure({ file: at('pipe') });
    logger.log(SWOOLE_LOG_INFO, 'x');
    assert.match(read('stdout'), /pipe.*the log goes on to standard output[^\n]*\n[^\n]*\tx\n$/);
  });
});
