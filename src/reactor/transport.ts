import { MSG_NOSIGNAL } from '../sys/constants.ts';
import type { Kernel } from '../sys/kernel.ts';

/** A read has brought nothing yet, but there may be more, of which nobody will tell. No errno is as high. */
export const READ_ON = -4096;

/**
 * The way between a connection and its socket: bytes as they are, or through TLS. Results are those of the kernel's calls,
 * but a failure is minus its errno:
 *
 *   -EAGAIN  the socket has nothing, or no room, and the kernel will tell when that changes
 *   -EINTR   the call was interrupted: to be made again
 */
export interface Transport {
  /** True exactly when the socket takes bytes as they are: the kernel can send them with those of others, and files by itself. */
  readonly plain: boolean;
  /** Right after a read: there is more to read although the kernel may not tell. */
  readonly more: boolean;
  /** True exactly when something that was written, as it seemed, waits for room at the socket. */
  readonly hasUnsent: boolean;
  /** The certificate of the client as PEM, where the port asks for one and the client has one. */
  readonly certificate: string | null;
  /** Why a handshake has failed. */
  readonly reason: string;

  /** Goes on with what must be said before anything else can be: 1 = it is done; the rest is as with read(). */
  handshake(fd: number): number;
  /** Reads once, up to `room` bytes to the address. 0 is the end. */
  read(fd: number, address: number, room: number): number;
  /** Sends bytes[start, start + length), as much as can be. `address` is where they lie, when that is outside of the heap, else 0. */
  write(fd: number, bytes: Uint8Array, start: number, length: number, address: number): number;
  /** Sends what is unsent; 0 = it is all gone. Until then nothing else can be written. */
  flush(fd: number): number;
  /** Forgets what is unsent. */
  drop(): void;
  /** The connection ends. `polite`: the peer has got everything, and is told that nothing follows. */
  end(fd: number, polite: boolean): void;
}

/** Bytes as they are. One serves all connections: it knows nothing of them. */
export class PlainTransport implements Transport {
  readonly plain = true;
  readonly more = false;
  readonly hasUnsent = false;
  readonly certificate = null;
  readonly reason = '';
  private readonly kernel: Kernel;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
  }

  handshake(): number {
    return 1;
  }

  read(fd: number, address: number, room: number): number {
    const count = this.kernel.recv(fd, address, room, 0);
    return count === -1 ? -this.kernel.errno() : count;
  }

  write(fd: number, bytes: Uint8Array, start: number, length: number, address: number): number {
    if (!(start >= 0 && length >= 0 && start + length <= bytes.length))
      throw new RangeError(`not in the bytes: start=${start} length=${length} of ${bytes.length}`);
    const { kernel } = this;
    const count =
      address !== 0
        ? kernel.send(fd, address, length, MSG_NOSIGNAL)
        : kernel.sendBytes(fd, start === 0 ? bytes : bytes.subarray(start), length, MSG_NOSIGNAL);
    return count === -1 ? -kernel.errno() : count;
  }

  flush(): number {
    return 0;
  }
  drop(): void {}
  end(): void {}
}
