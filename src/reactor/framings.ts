import { createFramer, type Framer } from '../protocol/framer.ts';
import type { ReactorPort } from './port.ts';

/** The framers of one reactor: a port's own, and those that its connections may switch to. */
export class Framings {
  /** By port index, then by the number that says which: 0 is the port's own. Null = every read is a package. */
  private readonly framers: (Framer | null)[][];

  constructor(ports: readonly ReactorPort[]) {
    this.framers = ports.map(({ framing, otherFramings }) => [framing, ...otherFramings].map(createFramer));
  }

  of(port: ReactorPort, protocol: number): Framer | null {
    const framers = this.framers[port.index];
    if (!(protocol >= 0 && protocol < framers.length))
      throw new RangeError(`port ${port.index} has no such framing: protocol=${protocol} of ${framers.length}`);
    return framers[protocol];
  }
}
