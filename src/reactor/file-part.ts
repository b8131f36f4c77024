import type { Kernel } from '../sys/kernel.ts';

/** A part of a file that waits in a connection's output queue. Whoever takes it out of the queue closes it. */
export class FilePart {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
  /** Bytes that were not sent yet. */
  left: number;
  /** The file, positioned at the first byte that was not sent; -1 while it is not open. */
  fd = -1;
  /** Why it could not be opened: an errno, or 0. */
  error = 0;
  /** True exactly when it is read and written, because the kernel cannot send it by itself. */
  copied = false;
  private readonly kernel: Kernel;

  constructor(kernel: Kernel, path: string, offset: number, length: number) {
    this.kernel = kernel;
    this.path = path;
    this.offset = offset;
    this.length = length;
    this.left = length;
  }

  /** Opens the file, unless that was tried before. A failure is kept in `error`, to be dealt with when it is its turn. */
  open(): void {
    if (this.fd !== -1 || this.error !== 0) return;
    const fd = this.kernel.openFile(this.path, this.offset);
    if (fd >= 0) this.fd = fd;
    else this.error = -fd;
  }

  close(): void {
    if (this.fd !== -1) this.kernel.closeFile(this.fd);
    this.fd = -1;
  }
}
