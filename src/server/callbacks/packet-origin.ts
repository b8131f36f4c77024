import { AsyncLocalStorage } from 'node:async_hooks';

/**
 * Index of the port whose packet callback runs, also behind what that awaits. Kept only in servers with several datagram
 * ports of one kind: where there is one, it needs no choice.
 */
export const packetOrigin = new AsyncLocalStorage<number>();
