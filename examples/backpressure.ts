/**
 * Backpressure: the server sends `bytes` of data as fast as the client reads. What waits for one client stays below
 * socket_buffer_size: bufferFull stops the production, bufferEmpty continues it, and a send that would pass the limit is
 * `false` and sends nothing. `nc 127.0.0.1 9501 | head -c 100000000 | wc -c`
 */
import { Server, SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW, SWOOLE_PROCESS } from 'tswoole';

const CHUNK = Buffer.alloc(64 * 1024, 'x');
const TOTAL = Number(process.argv[3] ?? 100_000_000);

const server = new Server('127.0.0.1', Number(process.argv[2] ?? 9501), SWOOLE_PROCESS);
server.set({ worker_num: 1, socket_buffer_size: '1M', buffer_high_watermark: '768K', buffer_low_watermark: '256K' });

interface Download {
  left: number;
  full: boolean;
}
const downloads = new Map<number, Download>();

server.on('start', () => {
  console.log(`Listening on 127.0.0.1:${server.port}`);
});
server.on('connect', (_server, fd) => {
  downloads.set(fd, { left: TOTAL, full: false });
  produce(fd);
});
server.on('receive', () => {});
server.on('bufferFull', (_server, fd) => {
  const download = downloads.get(fd);
  if (download !== undefined) download.full = true;
});
server.on('bufferEmpty', (_server, fd) => {
  const download = downloads.get(fd);
  if (download === undefined) return;
  download.full = false;
  produce(fd);
});
server.on('close', (_server, fd) => {
  downloads.delete(fd);
});

function produce(fd: number): void {
  const download = downloads.get(fd);
  while (download !== undefined && !download.full && download.left > 0) {
    const chunk = download.left < CHUNK.length ? CHUNK.subarray(0, download.left) : CHUNK;
    if (!server.send(fd, chunk)) {
      // Full: bufferEmpty will follow. Anything else means that the client has gone.
      if (server.getLastError() !== SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW) downloads.delete(fd);
      return;
    }
    download.left -= chunk.length;
  }
  if (download?.left === 0) server.close(fd);
}

await server.start();
