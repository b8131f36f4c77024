/**
 * The C library, as far as we call it. Pointers travel as plain JavaScript numbers: every address that we pass comes from
 * mmap or from koffi.address and lies below 2^47, so it is exact, and no BigInt or Buffer wrapper is made for a call.
 * Only the room sys/ imports this file; what it offers to others is checked there.
 */
import koffi from 'koffi';
import { Poll } from './poll.ts';

const c = koffi.load(null);

type N = number;
function bind<T extends (...args: never[]) => unknown>(name: string, result: string, args: string[]): T {
  return c.func(name, result, args) as unknown as T;
}
function bindWhereThere<T extends (...args: never[]) => unknown>(...signature: Parameters<typeof bind>): T | null {
  try {
    return bind<T>(...signature);
  } catch {
    return null;
  }
}

const PTR = 'int64';
const SIZE = 'int64';

export const mmap = bind<(addr: N, length: N, prot: N, flags: N, fd: N, offset: N) => N>('mmap', PTR, [
  PTR,
  SIZE,
  'int',
  'int',
  'int',
  SIZE,
]);
export const munmap = bind<(addr: N, length: N) => N>('munmap', 'int', [PTR, SIZE]);
/** Null where free() gives memory back by itself (musl). */
export const mallocTrim = bindWhereThere<(keep: N) => N>('malloc_trim', 'int', [SIZE]);
export const memfdCreate = bind<(name: string, flags: N) => N>('memfd_create', 'int', ['str', 'uint']);
export const ftruncate = bind<(fd: N, length: N) => N>('ftruncate', 'int', ['int', SIZE]);

export const epollCreate1 = bind<(flags: N) => N>('epoll_create1', 'int', ['int']);
export const epollCtl = bind<(epfd: N, op: N, fd: N, event: N) => N>('epoll_ctl', 'int', ['int', 'int', 'int', PTR]);
export const epollWait = bind<(epfd: N, events: N, max: N, timeoutMs: N) => N>('epoll_wait', 'int', [
  'int',
  PTR,
  'int',
  'int',
]);

export const poll = bind<(entries: N, count: N, timeoutMs: N) => N>('poll', 'int', [PTR, 'ulong', 'int']);

export const eventfd = bind<(initial: N, flags: N) => N>('eventfd', 'int', ['uint', 'int']);
export const read = bind<(fd: N, addr: N, length: N) => N>('read', SIZE, ['int', PTR, SIZE]);
export const write = bind<(fd: N, addr: N, length: N) => N>('write', SIZE, ['int', PTR, SIZE]);
export const close = bind<(fd: N) => N>('close', 'int', ['int']);
export const dup3 = bind<(from: N, to: N, flags: N) => N>('dup3', 'int', ['int', 'int', 'int']);
export const fcntl = bind<(fd: N, command: N, argument: N) => N>('fcntl', 'int', ['int', 'int', 'int']);

export const socket = bind<(domain: N, type: N, protocol: N) => N>('socket', 'int', ['int', 'int', 'int']);
export const bindSocket = bind<(fd: N, addr: N, length: N) => N>('bind', 'int', ['int', PTR, 'uint']);
export const connect = bind<(fd: N, addr: N, length: N) => N>('connect', 'int', ['int', PTR, 'uint']);
export const listen = bind<(fd: N, backlog: N) => N>('listen', 'int', ['int', 'int']);
export const accept4 = bind<(fd: N, addr: N, lengthAddr: N, flags: N) => N>('accept4', 'int', ['int', PTR, PTR, 'int']);
export const getsockname = bind<(fd: N, addr: N, lengthAddr: N) => N>('getsockname', 'int', ['int', PTR, PTR]);
export const getsockopt = bind<(fd: N, level: N, name: N, value: N, lengthAddr: N) => N>('getsockopt', 'int', [
  'int',
  'int',
  'int',
  PTR,
  PTR,
]);
export const setsockopt = bind<(fd: N, level: N, name: N, value: N, length: N) => N>('setsockopt', 'int', [
  'int',
  'int',
  'int',
  PTR,
  'uint',
]);
export const socketpair = bind<(domain: N, type: N, protocol: N, pair: N) => N>('socketpair', 'int', [
  'int',
  'int',
  'int',
  PTR,
]);
export const ioctl = bind<(fd: N, request: N, argument: N) => N>('ioctl', 'int', ['int', 'ulong', PTR]);
export const shutdown = bind<(fd: N, how: N) => N>('shutdown', 'int', ['int', 'int']);
export const recv = bind<(fd: N, addr: N, length: N, flags: N) => N>('recv', SIZE, ['int', PTR, SIZE, 'int']);
export const send = bind<(fd: N, addr: N, length: N, flags: N) => N>('send', SIZE, ['int', PTR, SIZE, 'int']);
export const sendBytes = bind<(fd: N, bytes: Uint8Array, length: N, flags: N) => N>('send', SIZE, [
  'int',
  'void *',
  SIZE,
  'int',
]);
/** Sends from the file's own position, which moves on, when `offset` is 0: it is the address of one otherwise. */
export const sendfile = bind<(socket: N, file: N, offset: N, length: N) => N>('sendfile', SIZE, [
  'int',
  'int',
  PTR,
  SIZE,
]);
export const lseek = bind<(fd: N, offset: N, from: N) => N>('lseek', SIZE, ['int', SIZE, 'int']);
export const sendto = bind<(fd: N, addr: N, length: N, flags: N, to: N, toLength: N) => N>('sendto', SIZE, [
  'int',
  PTR,
  SIZE,
  'int',
  PTR,
  'uint',
]);
export const sendBytesTo = bind<(fd: N, bytes: Uint8Array, length: N, flags: N, to: N, toLength: N) => N>(
  'sendto',
  SIZE,
  ['int', 'void *', SIZE, 'int', PTR, 'uint'],
);
export const recvmmsg = bind<(fd: N, headers: N, count: N, flags: N, timeout: N) => N>('recvmmsg', 'int', [
  'int',
  PTR,
  'uint',
  'int',
  PTR,
]);
export const ifNameToIndex = bind<(name: string) => N>('if_nametoindex', 'uint', ['str']);

export const prctl = bind<(option: N, a: N, b: N, c: N, d: N) => N>('prctl', 'int', [
  'int',
  'ulong',
  'ulong',
  'ulong',
  'ulong',
]);
export const schedYield = bind<() => N>('sched_yield', 'int', []);
export const getppid = bind<() => N>('getppid', 'int', []);
export const waitpid = bind<(pid: N, status: N, options: N) => N>('waitpid', 'int', ['int', PTR, 'int']);
export const kill = bind<(pid: N, signal: N) => N>('kill', 'int', ['int', 'int']);
export const setpriority = bind<(which: N, who: N, priority: N) => N>('setpriority', 'int', ['int', 'uint', 'int']);
export const getpriority = bind<(which: N, who: N) => N>('getpriority', 'int', ['int', 'uint']);
export const setitimer = bind<(which: N, value: N, old: N) => N>('setitimer', 'int', ['int', PTR, PTR]);
export const execv = bind<(path: N, args: N) => N>('execv', 'int', [PTR, PTR]);
export const chroot = bind<(path: string) => N>('chroot', 'int', ['str']);
export const schedSetaffinity = bind<(pid: N, length: N, mask: N) => N>('sched_setaffinity', 'int', ['int', SIZE, PTR]);
export const schedGetaffinity = bind<(pid: N, length: N, mask: N) => N>('sched_getaffinity', 'int', ['int', SIZE, PTR]);
export const getrlimit = bind<(resource: N, limit: N) => N>('getrlimit', 'int', ['int', PTR]);
export const setrlimit = bind<(resource: N, limit: N) => N>('setrlimit', 'int', ['int', PTR]);
export const sigaction = bind<(signal: N, action: N, old: N) => N>('sigaction', 'int', ['int', PTR, PTR]);
export const msgget = bind<(key: N, flags: N) => N>('msgget', 'int', ['int', 'int']);
export const msgsnd = bind<(id: N, message: N, length: N, flags: N) => N>('msgsnd', 'int', ['int', PTR, SIZE, 'int']);
export const msgrcv = bind<(id: N, message: N, length: N, type: N, flags: N) => N>('msgrcv', SIZE, [
  'int',
  PTR,
  SIZE,
  'long',
  'int',
]);
export const msgctl = bind<(id: N, command: N, data: N) => N>('msgctl', 'int', ['int', 'int', PTR]);
export const strerror = bind<(error: N) => string>('strerror', 'str', ['int']);

/** The errno of the last call of this thread. Ask at once after a call that answered -1. */
export function errno(): number {
  return koffi.errno();
}

/** For the few calls that may answer -1 when all is well: clear it before, and ask after. */
export function clearErrno(): void {
  koffi.errno(0);
}

/** Where the bytes lie. They stay there as long as their ArrayBuffer lives and is not transferred. */
export function addressOf(bytes: Uint8Array): number {
  return Number(koffi.address(bytes));
}

/** The memory at address as an ArrayBuffer. It does not own the memory: unmapping it under a live view is a crash. */
export function viewMemory(address: number, length: number): ArrayBuffer {
  return koffi.view(BigInt(address), length);
}

export interface Watch {
  close(): void;
  ref(): void;
  unref(): void;
}

/**
 * What Node does itself behind each of its callbacks: runs nextTick and promises. Not documented, though as old as Node;
 * where it is missing, an immediate does the same a little later.
 */
export const runNextTicks: () => void =
  (process as { _tickCallback?: () => void })._tickCallback ?? (() => setImmediate(() => {}));

/**
 * Runs what koffi calls back, which it does from outside of Node's callback scope: without the last step, promises and
 * nextTick would wait for whatever Node does next, for seconds on an idle server, and an error would end in koffi.
 */
export function runAsNode(callback: () => void): void {
  try {
    callback();
  } catch (error) {
    setImmediate(() => {
      throw error;
    });
  }
  runNextTicks();
}

/** Calls back in Node's own loop whenever the descriptor is readable (level triggered). */
export function watchReadable(fd: number, callback: () => void): Watch {
  return new Poll(fd, { readable: true, writable: false }, () => runAsNode(callback));
}
