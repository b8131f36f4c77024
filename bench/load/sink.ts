/**
 * Reads what servers send as fast as they can, and looks at none of it: `node bench/load/sink.ts <rounds> <port>…`. The
 * bytes stay in the kernel (MSG_TRUNC), so that the sink is not what limits. One line of JSON for each round: for each port
 * in turn how many bytes came, and in how many seconds.
 */
import { AF_INET, MSG_TRUNC, SOCK_CLOEXEC, SOCK_STREAM } from '../../src/sys/constants.ts';
import { must } from '../../src/sys/error.ts';
import { close, recv, socket } from '../../src/sys/libc.ts';
import { allocate } from '../../src/sys/memory.ts';
import { connectTo } from '../../src/sys/socket.ts';

const READ_BYTES = 4 * 1024 * 1024;
const memory = allocate(READ_BYTES);
const [rounds, ...ports] = process.argv.slice(2).map(Number);

for (let round = 0; round < rounds; round++) console.log(JSON.stringify(ports.map(readAll)));

function readAll(port: number): { bytes: number; seconds: number } {
  const fd = must('socket', socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const start = performance.now();
  const error = connectTo(fd, { family: AF_INET, host: '127.0.0.1', port });
  if (error !== 0) throw new Error(`connect() failed with errno ${error}`);
  let bytes = 0;
  for (;;) {
    const count = must('recv', recv(fd, memory.address, READ_BYTES, MSG_TRUNC));
    if (count === 0) break;
    bytes += count;
  }
  close(fd);
  return { bytes, seconds: (performance.now() - start) / 1000 };
}
