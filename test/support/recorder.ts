import { Client, type ClientOptions } from './client.ts';
import type { Fixture } from './fixture.ts';
import type { Event, TestServer } from './server.ts';

/** A setup that reports what happens to connections and answers nothing; port 1 takes control connections. */
export const recorder = ({ server, report, control }: Fixture<unknown>): void => {
  server.on('connect', (server, fd, reactorId) => {
    const info = server.getClientInfo(fd);
    report('connect', { fd, reactorId, worker: server.worker_id, remotePort: info === false ? 0 : info.remote_port });
  });
  server.on('receive', (server, fd, reactorId, data) => {
    report('receive', {
      fd,
      reactorId,
      worker: server.worker_id,
      length: data.length,
      data: data.toString('latin1', 0, 200),
    });
  });
  server.on('close', (server, fd, reactorId) => {
    report('close', { fd, reactorId, worker: server.worker_id });
  });
  control();
};

export interface Opened {
  client: Client;
  fd: number;
  worker: number;
  reactorId: number;
}

/** Connects a client and finds out what the server calls it. The server must report `connect` as the recorder does. */
export async function open(server: TestServer, port = server.port, options: ClientOptions = {}): Promise<Opened> {
  const client = await Client.connect(port, options);
  const own = (event: Event): boolean => event.remotePort === client.localPort;
  const { fd, worker, reactorId } = await server.until(() => server.events('connect').findLast(own), 'a connect event');
  return { client, fd, worker, reactorId };
}

/** What the connection has received so far, as one text. */
export function receivedText(server: TestServer, fd: number): string {
  return server
    .events('receive')
    .filter((event) => event.fd === fd)
    .map((event) => event.data as string)
    .join('');
}
