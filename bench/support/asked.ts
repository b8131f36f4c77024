import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import type { Turn, TurnResult } from '../load/round-trips.ts';
import { type RunningServer, startServer } from './server.ts';

/** A subject of bench/tasks.ts, and the connection that tells it what to do. */
export class Asked {
  readonly server: RunningServer;
  private readonly send: (line: string) => void;
  private readonly lines: AsyncIterator<string>;

  private constructor(server: RunningServer) {
    this.server = server;
    const socket = connect(Number(server.port), '127.0.0.1');
    this.send = (line) => socket.write(line);
    this.lines = createInterface({ input: socket })[Symbol.asyncIterator]();
    socket.on('error', () => {});
    socket.unref();
  }

  static async start(command: readonly string[]): Promise<Asked> {
    return new Asked(await startServer(command));
  }

  async ask(turn: Turn): Promise<TurnResult> {
    this.send(`${JSON.stringify(turn)}\n`);
    const line = await this.lines.next();
    if (line.done === true) throw new Error('it has ended.');
    return JSON.parse(line.value) as TurnResult;
  }
}
