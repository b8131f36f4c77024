/**
 * Sends that wait for room in the output of their connections: what sendAsync() has promised. They wait in the process that
 * called it, for each connection in order. Whether there is room is read in shared memory, at bufferEmpty where that comes to
 * this process, and else again and again: no process but the connection's worker is told.
 */
import {
  SWOOLE_ERROR_CO_CANCELED,
  SWOOLE_ERROR_CO_TIMEDOUT,
  SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW,
} from '../../constants.ts';

/** So many may wait for one connection. */
const SENDS_MAX = 1024;
/** How often it is looked for room: soon again while there is some. */
const LOOK_MS = 2;
const LOOK_MAX_MS = 20;

type Data = string | Uint8Array;

interface Waiting {
  readonly data: Data;
  readonly bytes: number;
  readonly deadline: number;
  readonly settle: (code: number) => void;
}

/** What waits for one connection. */
interface Line {
  readonly fd: number;
  readonly waiting: Waiting[];
  bytes: number;
}

export class WaitingSends {
  /** Sends now, and answers 0 or why it cannot. */
  private readonly send: (fd: number, data: Data) => number;
  /** Known by their serials, as send() knows its connection. */
  private readonly lines = new Map<number, Line>();
  private timer: NodeJS.Timeout | null = null;
  private pause = LOOK_MS;
  private ended = false;

  constructor(send: (fd: number, data: Data) => number) {
    this.send = send;
  }

  /** True exactly when something waits for the connection: what is sent now would overtake it. */
  has(serial: number): boolean {
    return this.lines.size !== 0 && this.lines.has(serial);
  }

  /** Resolves 0 once it was sent, or why it will not be. At most `bytesMax` bytes wait for a connection. */
  add(fd: number, serial: number, data: Data, bytes: number, bytesMax: number, timeoutMs: number): Promise<number> {
    // Not in this turn: whoever tries again and again would keep the loop from everything else.
    if (this.ended) return new Promise((resolve) => setImmediate(resolve, SWOOLE_ERROR_CO_CANCELED));
    const line = this.lines.get(serial) ?? { fd, waiting: [], bytes: 0 };
    if (line.waiting.length === SENDS_MAX || line.bytes + bytes > bytesMax)
      return Promise.resolve(SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW);
    this.lines.set(serial, line);
    line.bytes += bytes;
    const deadline = timeoutMs === 0 ? Number.POSITIVE_INFINITY : performance.now() + timeoutMs;
    // The caller may use its memory for something else meanwhile.
    const kept = typeof data === 'string' ? data : Buffer.from(data);
    this.pause = LOOK_MS;
    this.look();
    return new Promise((settle) => line.waiting.push({ data: kept, bytes, deadline, settle }));
  }

  /** Sends what there is room for, and gives up what cannot be sent. */
  pump(): void {
    if (this.lines.size === 0) return;
    const now = performance.now();
    for (const [serial, line] of this.lines) {
      this.pumpLine(line, now);
      if (line.waiting.length === 0) this.lines.delete(serial);
    }
  }

  private pumpLine(line: Line, now: number): void {
    const { fd, waiting } = line;
    while (waiting.length > 0) {
      const code = this.send(fd, waiting[0].data);
      if (code === SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW) break;
      if (code === 0) this.pause = LOOK_MS;
      leave(line, 0, code);
    }
    for (let i = waiting.length - 1; i >= 0; i--)
      if (now >= waiting[i].deadline) leave(line, i, SWOOLE_ERROR_CO_TIMEDOUT);
  }

  private look(): void {
    this.timer ??= setTimeout(() => {
      this.timer = null;
      this.pause = Math.min(LOOK_MAX_MS, this.pause * 2);
      this.pump();
      if (this.lines.size !== 0) this.look();
    }, this.pause);
  }

  /** The process ends: who waits is told, and nobody may wait any more. */
  end(): void {
    this.ended = true;
    if (this.timer !== null) clearTimeout(this.timer);
    for (const { waiting } of this.lines.values())
      for (const { settle } of waiting.splice(0)) settle(SWOOLE_ERROR_CO_CANCELED);
    this.lines.clear();
  }
}

/** One of them waits no longer. */
function leave(line: Line, index: number, code: number): void {
  const [{ bytes, settle }] = line.waiting.splice(index, 1);
  line.bytes -= bytes;
  settle(code);
}
