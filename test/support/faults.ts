/**
 * What goes wrong at the fake kernel's calls: as a test says, call by call, or at random from a seed.
 *
 * A kernel that comes short owes something for it, which the fake pays: behind a short recv(), or an EAGAIN where there is
 * something to read, the rest arrives "a moment later", with a new edge; behind a short send() room is announced. EINTR
 * and ENOBUFS owe nothing. Errors of a connection (ECONNRESET, EPIPE, ETIMEDOUT …) end it, as they do on Linux.
 *
 * Out of reach is what fails while a reactor is made: mmap() in sys/memory, epoll_create1(), the BIOs and contexts of
 * OpenSSL. Each throws out of the constructor, so that there is no reactor, and its process does not begin to serve.
 * EINTR and ECONNABORTED of accept4() are dealt with below the seam, in acceptFrom().
 */
import { EAGAIN, ECONNRESET, EINTR, EMFILE, ENOBUFS, EPIPE, ETIMEDOUT } from '../../src/sys/constants.ts';
import type { Prng } from './prng.ts';

export type Call =
  | 'accept'
  | 'recv'
  | 'send'
  | 'sendfile'
  | 'recvmmsg'
  | 'epollWait'
  | 'epollCtl'
  | 'openFile'
  | 'readFile';

export interface Fault {
  /** 0: none, the call is only short. */
  error: number;
  /** Bytes at most. */
  most: number;
}

const NONE: Fault = { error: 0, most: Number.POSITIVE_INFINITY };

/** Asked before every call. */
export interface Faults {
  next(call: Call): Fault;
}

/** Faults in the order in which a test has told them; calls that it said nothing of succeed. */
export class ScriptedFaults implements Faults {
  private readonly planned = new Map<Call, Fault[]>();

  /** The next calls of this name fail with these errors; 0 lets one pass. */
  fail(call: Call, ...errors: number[]): void {
    for (const error of errors) this.plan(call, { error, most: NONE.most });
  }

  /** The next calls of this name take or bring so many bytes at most. */
  shorten(call: Call, ...counts: number[]): void {
    for (const most of counts) this.plan(call, { error: 0, most });
  }

  private plan(call: Call, fault: Fault): void {
    this.planned.set(call, [...(this.planned.get(call) ?? []), fault]);
  }

  next(call: Call): Fault {
    return this.planned.get(call)?.shift() ?? NONE;
  }

  /** What was planned and has not happened: a test that ends with some has not tested what it says. */
  get left(): Call[] {
    return [...this.planned].filter(([, faults]) => faults.length !== 0).map(([call]) => call);
  }
}

/** What may go wrong with a call without ending a connection. */
const HARMLESS: Record<Call, number[]> = {
  accept: [EMFILE, ENOBUFS, EAGAIN],
  recv: [EAGAIN, EINTR],
  send: [EAGAIN, EINTR, ENOBUFS],
  sendfile: [EAGAIN, EINTR, ENOBUFS],
  recvmmsg: [EAGAIN, EINTR],
  epollWait: [EINTR],
  epollCtl: [],
  openFile: [],
  readFile: [],
};
const DEADLY = [ECONNRESET, EPIPE, ETIMEDOUT];

export interface FaultRates {
  /** How often a call fails for now or comes short, 0 to 1. */
  harmless: number;
  /** How often one ends its connection. */
  deadly: number;
}

export class RandomFaults implements Faults {
  private readonly random: Prng;
  private readonly rates: FaultRates;
  private readonly lasting = new Map<Call, Fault>();
  /** Nothing goes wrong any more. */
  off = false;

  constructor(random: Prng, rates: FaultRates) {
    this.random = random;
    this.rates = rates;
  }

  next(call: Call): Fault {
    if (this.off) return NONE;
    const { random } = this;
    // What fails often fails again at once.
    const last = this.lasting.get(call);
    if (last !== undefined && random.int(3) !== 0) return last;
    const fault = this.roll(call);
    if (fault.error === 0 || fault.most === 0 || random.int(2) === 0) this.lasting.delete(call);
    else this.lasting.set(call, fault);
    return fault;
  }

  private roll(call: Call): Fault {
    const { random, rates } = this;
    const at = random.next();
    const ofConnection = call === 'recv' || call === 'send' || call === 'sendfile';
    if (ofConnection && at < rates.deadly) return { error: DEADLY[random.int(DEADLY.length)], most: 0 };
    if (at >= rates.deadly + rates.harmless) return NONE;
    const errors = HARMLESS[call];
    if (ofConnection && random.int(2) === 0) return { error: 0, most: 1 + random.int(2000) };
    return errors.length === 0 ? NONE : { error: errors[random.int(errors.length)], most: NONE.most };
  }
}
