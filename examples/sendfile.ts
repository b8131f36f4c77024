/**
 * Files: the client sends the name of a file of `folder` and gets its size in a line, then the file. The kernel sends it
 * from its page cache, so a big file to a slow reader costs no memory. `echo demo.ts | nc 127.0.0.1 9501`
 */
import { statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Server, SWOOLE_PROCESS } from 'tswoole';

const folder = process.argv[3] ?? import.meta.dirname;

const server = new Server('127.0.0.1', Number(process.argv[2] ?? 9501), SWOOLE_PROCESS);
server.set({ worker_num: 1, open_eof_split: true, package_eof: '\n', package_max_length: '64K' });

server.on('start', () => {
  console.log(`Listening on 127.0.0.1:${server.port}`);
});
server.on('receive', (server, fd, _reactorId, data) => {
  // Nothing but files of the folder: "../" must not lead out of it.
  const path = join(folder, basename(data.toString().trim()));
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  server.send(fd, `${size}\n`);
  if (size > 0 && !server.sendfile(fd, path, 0, size)) server.send(fd, `error ${server.getLastError()}\n`);
  // Waits for the file.
  server.close(fd);
});

await server.start();
