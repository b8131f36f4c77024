/**
 * Many idle connections: opens them, exchanges one message on each, prints `idle <count>` and holds them until its
 * standard input ends. `node bench/load/idle.ts --port 9501 --connections 9000`.
 */
import { parseArgs } from 'node:util';
import { raiseFileLimit } from '../../src/sys/process.ts';
import { Clients } from './clients.ts';

const { values } = parseArgs({
  options: {
    host: { type: 'string', default: '127.0.0.1' },
    port: { type: 'string', default: '0' },
    connections: { type: 'string', default: '9000' },
    size: { type: 'string', default: '64' },
  },
});

const connections = Number(values.connections);
const descriptorsMax = raiseFileLimit();
if (connections + 64 > descriptorsMax) {
  throw new RangeError(`too many connections: connections=${connections} descriptors=${descriptorsMax}`);
}
const clients = new Clients({
  transport: 'tcp',
  host: values.host,
  port: Number(values.port),
  connections,
  messageBytes: Number(values.size),
  pipeline: 1,
  framed: false,
  latency: false,
});
clients.open();
clients.inspect();
if (clients.firstError !== null) throw new Error(clients.firstError);
console.log(`idle ${connections}`);
process.stdin.on('end', () => clients.close());
process.stdin.resume();
