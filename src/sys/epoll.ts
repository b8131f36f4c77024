import { EINTR, EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD } from './constants.ts';
import { must, SystemError } from './error.ts';
import { type Kernel, linux } from './kernel.ts';
import { allocate, type Region } from './memory.ts';

/**
 * struct epoll_event is packed on x86-64 only:
 *
 *    0            4             8            12
 *    +------------+-------------+------------+
 *    | events u32 | data lo u32 | data hi u32|
 *    +------------+-------------+------------+      (elsewhere 4 bytes of padding follow events)
 */
const EVENT_WORDS = process.arch === 'x64' ? 3 : 4;
const DATA_WORD = process.arch === 'x64' ? 1 : 2;

/** One epoll instance. What was registered with a descriptor comes back as two 32-bit words. */
export class Epoll {
  readonly fd: number;
  private readonly kernel: Kernel;
  private readonly capacity: number;
  private readonly events: Region;
  private readonly words: Int32Array;
  /** Where the one event that add() hands over lies: behind those that wait() fills. */
  private readonly argument: number;

  constructor(capacity: number, kernel: Kernel = linux) {
    this.kernel = kernel;
    this.fd = must('epoll_create1', kernel.epollCreate1(EPOLL_CLOEXEC));
    this.capacity = capacity;
    this.events = allocate((capacity + 1) * EVENT_WORDS * 4);
    this.words = this.events.i32;
    this.argument = capacity * EVENT_WORDS;
  }

  /** Starts watching; answers 0 or an errno. */
  add(fd: number, events: number, low: number, high: number): number {
    return this.control(EPOLL_CTL_ADD, fd, events, low, high);
  }

  /** Watches for other events from now on; what has happened already is told again. */
  modify(fd: number, events: number, low: number, high: number): number {
    return this.control(EPOLL_CTL_MOD, fd, events, low, high);
  }

  private control(operation: number, fd: number, events: number, low: number, high: number): number {
    const { kernel, words } = this;
    words[this.argument] = events;
    words[this.argument + DATA_WORD] = low;
    words[this.argument + DATA_WORD + 1] = high;
    const event = this.events.address + this.argument * 4;
    return kernel.epollCtl(this.fd, operation, fd, event) === -1 ? kernel.errno() : 0;
  }

  remove(fd: number): void {
    this.kernel.epollCtl(this.fd, EPOLL_CTL_DEL, fd, this.events.address + this.argument * 4);
  }

  /** Waits for events and answers how many there are; an interrupted wait counts as none. */
  wait(timeoutMs: number): number {
    const count = this.kernel.epollWait(this.fd, this.events.address, this.capacity, timeoutMs);
    if (count !== -1) return count;
    const error = this.kernel.errno();
    if (error === EINTR) return 0;
    throw new SystemError('epoll_wait', error);
  }

  eventsAt(index: number): number {
    return this.words[index * EVENT_WORDS];
  }
  lowAt(index: number): number {
    return this.words[index * EVENT_WORDS + DATA_WORD];
  }
  highAt(index: number): number {
    return this.words[index * EVENT_WORDS + DATA_WORD + 1];
  }

  close(): void {
    this.kernel.close(this.fd);
  }
}
