import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as constants from './constants.ts';
import { SOCKET_OPTIONS } from './sys/socket-options.ts';

const byName: Readonly<Record<string, number | boolean>> = constants;
const namesOf = (prefix: string): string[] => Object.keys(byName).filter((name) => name.startsWith(prefix));

describe('constants', () => {
  it('have the numbers of Swoole', () => {
    const expected: Record<string, number | boolean> = {
      SWOOLE_BASE: 1,
      SWOOLE_PROCESS: 2,
      SWOOLE_THREAD: 3,
      SWOOLE_SOCK_TCP: 1,
      SWOOLE_SOCK_UDP6: 4,
      SWOOLE_SOCK_UNIX_DGRAM: 6,
      SWOOLE_SSL: 512,
      SWOOLE_SOCK_SYNC: false,
      SWOOLE_SOCK_ASYNC: true,
      SWOOLE_SSL_TLSv1_3: 64,
      SWOOLE_EVENT_WRITE: 1024,
      SWOOLE_SERVER_COMMAND_MANAGER: 32,
      SWOOLE_DISPATCH_CONCURRENT_LB: 10,
      SWOOLE_DISPATCH_RESULT_USERFUNC_FALLBACK: -3,
      SWOOLE_TASK_NOREPLY: 128,
      SWOOLE_MUTEX: 3,
      SWOOLE_RWLOCK: 1,
      SWOOLE_SPINLOCK: 5,
      SWOOLE_LOG_NONE: 6,
      WEBSOCKET_OPCODE_PONG: 10,
      SWOOLE_WEBSOCKET_FLAG_MASK: 32,
      SWOOLE_HTTP2_ERROR_HTTP_1_1_REQUIRED: 13,
      SWOOLE_ERROR_SERVER_INVALID_CALLBACK: 9015,
      SWOOLE_ERROR_SERVER_WORKER_EXIT_TIMEOUT: 9101,
      SWOOLE_ERROR_CO_TIMEDOUT: 10018,
    };
    for (const [name, value] of Object.entries(expected)) assert.equal(byName[name], value, name);
  });

  it('have the numbers of the manual where these differ from the header', () => {
    assert.equal(constants.SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW, 1008);
    assert.equal(constants.SWOOLE_ERROR_DATA_LENGTH_TOO_LARGE, 1202);
  });

  it('give two error names the same number only where the manual does', () => {
    const names = namesOf('SWOOLE_ERROR_');
    const shared = names.filter((name) => names.some((other) => other !== name && byName[other] === byName[name]));
    assert.deepEqual(shared.sort(), [
      'SWOOLE_ERROR_DATA_LENGTH_TOO_LARGE',
      'SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW',
      'SWOOLE_ERROR_PACKAGE_LENGTH_NOT_FOUND',
      'SWOOLE_ERROR_SESSION_DISCARD_DATA',
    ]);
  });

  it('keep errors apart from errno', () => {
    for (const name of namesOf('SWOOLE_ERROR_')) assert.ok(Number(byName[name]) > 500, name);
  });

  it('give aliases the value of what they stand for', () => {
    for (const name of namesOf('WEBSOCKET_')) {
      const twin = byName[`SWOOLE_${name}`];
      if (twin !== undefined) assert.equal(twin, byName[name], name);
    }
    for (const name of ['TCP', 'UDP', 'TCP6', 'UDP6', 'UNIX_STREAM', 'UNIX_DGRAM']) {
      assert.equal(byName[`SWOOLE_${name}`], byName[`SWOOLE_SOCK_${name}`], name);
    }
    assert.equal(constants.SWOOLE_SERVER_COMMAND_WORKER, constants.SWOOLE_SERVER_COMMAND_EVENT_WORKER);
    assert.equal(constants.WEBSOCKET_STATUS_FRAME, constants.WEBSOCKET_STATUS_ACTIVE);
  });

  it('give every option of a socket its number', () => {
    for (const [name, { option }] of Object.entries(SOCKET_OPTIONS)) assert.equal(byName[name], option, name);
    assert.deepEqual([constants.SOL_SOCKET, constants.IPPROTO_IPV6, constants.SOL_TCP], [1, 41, 6]);
    assert.deepEqual([constants.MCAST_JOIN_GROUP, constants.MCAST_LEAVE_SOURCE_GROUP], [42, 47]);
  });

  it('hold a longest timer that a number can hold', () => {
    assert.ok(Number.isSafeInteger(constants.SWOOLE_TIMER_MAX_MS));
  });
});
