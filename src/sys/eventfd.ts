import { EFD_CLOEXEC, EFD_NONBLOCK, POLLIN } from './constants.ts';
import { must } from './error.ts';
import { eventfd, poll, read, write } from './libc.ts';
import { allocate } from './memory.ts';

/** Eight bytes to write from (the number 1) and eight to read into. */
const scratch = allocate(16);
scratch.i32[0] = 1;

/** An eventfd: a doorbell that any process holding the descriptor can ring. */
export function createEventfd(): number {
  // Close-on-exec: children get it through the list of descriptors that they are spawned with.
  return must('eventfd', eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
}

export function ringEventfd(fd: number): void {
  // It can only fail when the counter is full, and then the other side is awake anyway.
  write(fd, scratch.address, 8);
}

export function clearEventfd(fd: number): void {
  read(fd, scratch.address + 8, 8);
}

/** struct pollfd: descriptor i32, events i16, revents i16. */
const pollArgument = allocate(8);

/** Blocks the thread until the descriptor is readable, a signal came, or so many milliseconds are over. */
export function waitReadable(fd: number, ms: number): void {
  pollArgument.i32[0] = fd;
  pollArgument.i32[1] = POLLIN;
  poll(pollArgument.address, 1, ms);
}
