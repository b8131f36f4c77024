import { MSG_NOSIGNAL } from './constants.ts';

const SENDS_MAX = 512;

/** Sends that are made together: at most one for each socket, because what becomes of one must be known before the next. */
export class SendList {
  count = 0;
  readonly fds = new Int32Array(SENDS_MAX);
  readonly addresses = new Float64Array(SENDS_MAX);
  readonly lengths = new Int32Array(SENDS_MAX);
  /** What became of them: how many bytes the socket took, or minus the errno. */
  readonly results = new Int32Array(SENDS_MAX);

  /** Adds a send; there must be room for it. */
  add(fd: number, address: number, length: number): void {
    const index = this.count++;
    this.fds[index] = fd;
    this.addresses[index] = address;
    this.lengths[index] = length;
  }

  get isFull(): boolean {
    return this.count === SENDS_MAX;
  }
}

interface Sender {
  send(fd: number, address: number, length: number, flags: number): number;
  errno(): number;
}

/** Makes the sends of a list one by one. */
export function sendEach(kernel: Sender, { count, fds, addresses, lengths, results }: SendList): void {
  for (let index = 0; index < count; index++) {
    const sent = kernel.send(fds[index], addresses[index], lengths[index], MSG_NOSIGNAL);
    results[index] = sent === -1 ? -kernel.errno() : sent;
  }
}
