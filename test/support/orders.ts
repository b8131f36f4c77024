/**
 * Runs functions of a test inside any process of its server that takes messages: workers, task workers, user processes.
 *
 *     const orders = new Orders(server, remote);            // the setup has called takeOrders()
 *     await orders.run(3, ({ server }, text) => server.sendMessage(text, 0), 'hello');
 *
 * As with Remote a function is sent as text. What it answers comes back as a report, so as JSON.
 */

import type * as swoole from '../../src/index.ts';
import type { Process, Server } from '../../src/index.ts';
import type { Remote } from './remote.ts';
import { sourceOf, type TestServer } from './server.ts';

/** What functions get that are run by an order. */
export interface OrderScope {
  server: Server;
  swoole: typeof swoole;
  report: (event: string, details?: object) => void;
  /** What the setup has given to takeOrders(). */
  processes: Process[];
}

type PipeMessage = (server: Server, from: number, message: unknown) => Promise<void>;

interface Order {
  order: number;
  source: string;
  args: unknown[];
}

/** In the script: carries out orders, and reports every other message as `pipeMessage`. */
export function takeOrders(scope: OrderScope): void {
  const { server, report } = scope;
  server.on('pipeMessage', async (_, from, message) => {
    const { order, source, args } = message as Order;
    if (order === undefined) {
      report('pipeMessage', { from, message });
      return;
    }
    try {
      const run = new Function(`return (${source});`)() as (scope: OrderScope, ...args: unknown[]) => unknown;
      report('order', { order, value: (await run(scope, ...args)) ?? null });
    } catch (error) {
      report('order', { order, error: (error as Error).stack ?? String(error) });
    }
  });
}

export class Orders {
  private readonly server: TestServer;
  private readonly remote: Remote;
  private count = 0;

  constructor(server: TestServer, remote: Remote) {
    this.server = server;
    this.remote = remote;
  }

  /** Runs the function in the process of this id. */
  async run<Args extends unknown[], Result>(
    workerId: number,
    fn: (scope: OrderScope, ...args: Args) => Result,
    ...args: Args
  ): Promise<Awaited<Result>> {
    const order = ++this.count;
    await this.give(workerId, { order, source: sourceOf(fn), args });
    const done = await this.server.waitFor('order', (event) => event.order === order);
    if (done.error !== undefined) throw new Error(`in process ${workerId}: ${done.error}`);
    return done.value as Awaited<Result>;
  }

  private async give(workerId: number, order: Order): Promise<void> {
    const sent = await this.remote.run(
      ({ server }, workerId, order) =>
        server.worker_id !== workerId
          ? server.sendMessage(order, workerId)
          : Boolean((server.getCallback('pipeMessage') as PipeMessage)(server, workerId, order)),
      workerId,
      order,
    );
    if (!sent) throw new Error(`no order reaches process ${workerId}`);
  }
}
