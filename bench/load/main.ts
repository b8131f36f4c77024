/**
 * The load generator: `node bench/load/main.ts --port 9501 --connections 100 --size 64 --duration 2 --latency`.
 * --transport udp sends datagrams; with --transport unix each --port is the path of a Unix socket.
 * With several --port options it loads those servers in turns, --rounds times, each for --duration seconds, while the
 * others' connections rest: neighbours in time meet the same machine. It answers with one line of JSON, a LoadResult.
 */
import { parseArgs } from 'node:util';
import { raiseFileLimit } from '../../src/sys/process.ts';
import { median } from '../support/statistics.ts';
import { Clients, type Transport } from './clients.ts';
import type { Latency, LoadResult, Round, TargetResult } from './result.ts';

/** The start of each turn is not measured: caches are cold and queues still fill. */
const RAMP_MS = 50;

const { values } = parseArgs({
  options: {
    transport: { type: 'string', default: 'tcp' },
    host: { type: 'string', default: '127.0.0.1' },
    port: { type: 'string', multiple: true, default: [] },
    connections: { type: 'string', default: '100' },
    size: { type: 'string', default: '64' },
    pipeline: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '1' },
    duration: { type: 'string', default: '2' },
    'warm-up': { type: 'string', default: '1' },
    latency: { type: 'boolean', default: false },
    framed: { type: 'boolean', default: false },
  },
});

const transport = transportOf(values.transport);
const ports = values.port;
const connections = positive('connections', values.connections);
const messageBytes = positive('size', values.size);
const rounds = positive('rounds', values.rounds);
const durationMs = positive('duration', values.duration) * 1000;
const warmUpMs = positive('warm-up', values['warm-up']) * 1000;
if (ports.length === 0) throw new RangeError('--port is missing');
const descriptorsNeeded = ports.length * connections + 64;
const descriptorsMax = raiseFileLimit();
if (descriptorsNeeded > descriptorsMax) {
  throw new RangeError(`too many connections: needed=${descriptorsNeeded} descriptors=${descriptorsMax}`);
}

const targets = ports.map((port) => ({ port, clients: createClients(port), rounds: [] as Round[] }));
for (const { clients } of targets) warmUp(clients);
for (let round = 0; round < rounds; round++) {
  for (const { clients, rounds } of targets) {
    // A server that failed is not measured any more, and must not hold up the others.
    if (clients.errors === 0) rounds.push(measure(clients));
  }
}

const results = targets.map(({ port, clients, rounds }) => summarise(port, clients, rounds));
const cpu = process.cpuUsage();
const result: LoadResult = { targets: results, cpuSeconds: (cpu.user + cpu.system) / 1e6 };
console.log(JSON.stringify(result));

function createClients(port: string): Clients {
  const unix = transport === 'unix';
  return new Clients({
    transport,
    host: unix ? port : values.host,
    port: unix ? 0 : positive('port', port),
    connections,
    messageBytes,
    pipeline: positive('pipeline', values.pipeline),
    framed: values.framed,
    latency: values.latency,
  });
}

function warmUp(clients: Clients): void {
  try {
    clients.open();
    clients.start();
    clients.run(warmUpMs);
    clients.pause();
  } catch (error) {
    clients.errors++;
    clients.firstError ??= (error as Error).message;
  }
}

function measure(clients: Clients): Round {
  clients.start();
  clients.run(RAMP_MS);
  clients.histogram.reset();
  const span = clients.run(durationMs);
  const latencyUs = values.latency ? readLatency(clients) : null;
  clients.pause();
  return {
    requests: span.answers,
    requestsPerSecond: Math.round(span.answers / span.seconds),
    latencyUs,
    generatorCpu: span.cpuShare,
  };
}

function readLatency({ histogram }: Clients): Latency {
  return {
    p50: histogram.percentile(0.5) / 1000,
    p90: histogram.percentile(0.9) / 1000,
    p99: histogram.percentile(0.99) / 1000,
    p999: histogram.percentile(0.999) / 1000,
    max: histogram.max / 1000,
  };
}

function summarise(port: string, clients: Clients, rounds: Round[]): TargetResult {
  if (clients.errors === 0) clients.inspect();
  clients.close();
  const latencies = rounds.flatMap((round) => round.latencyUs ?? []);
  const latency = (key: keyof Latency): number => median(latencies.map((entry) => entry[key]));
  const requests = rounds.reduce((sum, round) => sum + round.requests, 0);
  return {
    port,
    requestsPerSecond: median(rounds.map((round) => round.requestsPerSecond)),
    latencyUs: values.latency
      ? {
          p50: latency('p50'),
          p90: latency('p90'),
          p99: latency('p99'),
          p999: latency('p999'),
          max: latency('max'),
        }
      : null,
    bytes: requests * messageBytes,
    requestsTotal: clients.answered,
    errors: clients.errors,
    firstError: clients.firstError,
    rounds,
  };
}

function transportOf(name: string): Transport {
  if (name === 'tcp' || name === 'udp' || name === 'unix') return name;
  throw new RangeError(`--transport must be tcp, udp or unix: transport=${name}`);
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new RangeError(`--${name} needs a positive number: ${name}=${text}`);
  return value;
}
