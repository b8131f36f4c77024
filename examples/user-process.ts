/**
 * addProcess(): a process of your own that lives as long as the server. This one broadcasts: it takes messages from its
 * pipe and sends each to all connections. Workers write to the pipe; it does not matter which of them.
 */
import { Process, Server, SWOOLE_PROCESS } from 'tswoole';

const server = new Server('127.0.0.1', Number(process.argv[2] ?? 9501), SWOOLE_PROCESS);
server.set({ worker_num: 2 });

const broadcaster = new Process(
  async (self) => {
    const socket = self.exportSocket();
    while (socket !== false) {
      const message = await socket.recv();
      if (message === false) break;
      for (const fd of server.connections) server.send(fd, message);
    }
  },
  false, // standard input and output stay what they are
  2, // a pipe that keeps messages apart
  true,
);
server.addProcess(broadcaster);

server.on('start', () => {
  console.log(`Listening on 127.0.0.1:${server.port}`);
});
server.on('receive', async (_server, fd, _reactorId, data) => {
  const socket = broadcaster.exportSocket();
  if (socket !== false) await socket.send(`${fd}: ${data}`);
});

await server.start();
