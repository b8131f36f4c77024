/**
 * The load of bench/tasks.ts, inside of the process that asks: keeps so many messages under way, checks each answer, and
 * tells how many came. The same code drives tswoole and its peers, so it costs all of them the same.
 */
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';

/** What is asked of a subject, as one line of JSON over TCP; it answers with a line of JSON. */
export interface Turn {
  /** `task`: a task and its result. `message`: there and back. The others: one at a time, awaited or blocking. */
  kind: 'task' | 'message' | 'taskwait' | 'taskwaitSync';
  form: 'text' | 'bytes';
  bytes: number;
  underWay: number;
  seconds: number;
}

export interface TurnResult {
  done: number;
  seconds: number;
  /** Of one round trip, where they go one at a time. */
  medianUs: number;
}

export type Payload = string | Uint8Array;
/** Sends a payload; `answered` is called with what came back. */
export type Exchange = (payload: Payload, answered: (value: unknown) => void) => void;

/** How often a whole answer is compared; its length and its beginning always are. */
const WHOLE_EVERY = 256;
const CLOCK_EVERY = 16;

/** Each place under way has a payload of its own, so that answers which are mixed up are noticed. */
export function makePayloads({ form, bytes, underWay }: Pick<Turn, 'form' | 'bytes' | 'underWay'>): Payload[] {
  return Array.from({ length: underWay }, (_, place) => {
    const content = Buffer.alloc(bytes, `${place}:abcdefghijklmnopqrstuvwxyz0123456789`);
    return form === 'text' ? content.toString('latin1') : content;
  });
}

export function runTurn(turn: Turn, exchange: Exchange): Promise<TurnResult> {
  return new Promise((resolve) => {
    const end = performance.now() + turn.seconds * 1000;
    const began = performance.now();
    let done = 0;
    let left = turn.underWay;
    let over = false;
    for (const payload of makePayloads(turn)) {
      const answered = (value: unknown): void => {
        check(payload, value, done % WHOLE_EVERY === 0);
        done++;
        if (done % CLOCK_EVERY === 0 && performance.now() >= end) over = true;
        if (!over) exchange(payload, answered);
        else if (--left === 0) resolve({ done, seconds: (performance.now() - began) / 1000, medianUs: 0 });
      };
      exchange(payload, answered);
    }
  });
}

/** One at a time. `exchange` answers what came back, or a promise of it. */
export async function runOneByOne(turn: Turn, exchange: (payload: Payload) => unknown): Promise<TurnResult> {
  const [payload] = makePayloads(turn);
  const times: number[] = [];
  const began = performance.now();
  const end = began + turn.seconds * 1000;
  for (let now = began; now < end; ) {
    const answer = exchange(payload);
    const value = answer instanceof Promise ? await answer : answer;
    const after = performance.now();
    check(payload, value, times.length % WHOLE_EVERY === 0);
    times.push(after - now);
    now = after;
  }
  times.sort((a, b) => a - b);
  const medianUs = times[times.length >> 1] * 1000;
  return { done: times.length, seconds: (performance.now() - began) / 1000, medianUs };
}

function check(payload: Payload, value: unknown, whole: boolean): void {
  const same =
    typeof payload === 'string'
      ? typeof value === 'string' &&
        value.length === payload.length &&
        value.charCodeAt(1) === payload.charCodeAt(1) &&
        (!whole || value === payload)
      : value instanceof Uint8Array &&
        value.length === payload.length &&
        value[1] === payload[1] &&
        (!whole || Buffer.compare(value, payload) === 0);
  if (!same) throw new Error(`an answer is not what was sent: ${String(value).slice(0, 100)}`);
}

/** Serves turns over TCP, one after the other, and says where. */
export function serveTurns(run: (turn: Turn) => Promise<TurnResult>): void {
  const server = createServer((socket) => {
    createInterface({ input: socket }).on('line', (line) => {
      void run(JSON.parse(line) as Turn).then((result) => socket.write(`${JSON.stringify(result)}\n`));
    });
  });
  server.listen(0, '127.0.0.1', () => console.log(`listening ${(server.address() as { port: number }).port}`));
  process.once('SIGTERM', () => process.exit(0));
}
