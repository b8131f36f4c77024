/** defer(): what is not urgent is done at the end of this turn of the loop, when the answer is on its way. */
import { Server, SWOOLE_PROCESS } from 'tswoole';

const server = new Server('127.0.0.1', Number(process.argv[2] ?? 9501), SWOOLE_PROCESS);
server.set({ worker_num: 1 });

/** Stands for a connection to a database. */
function openDatabase() {
  return {
    query: (text: string) => `the answer to ${text}`,
    close: () => console.log('the database is closed'),
  };
}

server.on('start', () => {
  console.log(`Listening on 127.0.0.1:${server.port}`);
});
server.on('receive', (server, fd, _reactorId, data) => {
  const database = openDatabase();
  server.defer(() => database.close());
  server.send(fd, database.query(`${data}`));
  console.log('the answer is sent');
});

await server.start();
