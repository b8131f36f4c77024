/** getClientList(): what one client says goes to all of them, page by page. In SWOOLE_PROCESS every worker sees all. */
import { Server, SWOOLE_PROCESS } from 'tswoole';

const PAGE = 10;

const server = new Server('127.0.0.1', Number(process.argv[2] ?? 9501), SWOOLE_PROCESS);

server.on('start', () => {
  console.log(`Listening on 127.0.0.1:${server.port}`);
});
server.on('receive', (server, from, _reactorId, data) => {
  let startFd = 0;
  for (;;) {
    const page = server.getClientList(startFd, PAGE);
    if (page === false || page.length === 0) break;
    for (const fd of page) server.send(fd, `${from}: ${data}`);
    startFd = page[page.length - 1];
  }
  // The same in one line: for (const fd of server.connections) server.send(fd, `${from}: ${data}`);
});

await server.start();
