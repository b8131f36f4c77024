/** What is measured, and what tswoole promises there, each against node:net (or node:dgram) in the same round. */
import type { Transport } from './load/clients.ts';
import type { SubjectName } from './support/subjects.ts';

export interface Case {
  name: string;
  title: string;
  transport: Transport;
  connections: number;
  messageBytes: number;
  pipeline: number;
  /** What is compared: answers per second (more is better) or the 99th percentile of the latency (less is better). */
  metric: 'throughput' | 'latency';
  /** The ratio to Node that is to be reached: at least that for throughput, at most that for latency. */
  targets: Partial<Record<SubjectName, number>>;
}

export const CASES: readonly Case[] = [
  {
    name: 'echo',
    title: '64 B, 100 connections',
    transport: 'tcp',
    connections: 100,
    messageBytes: 64,
    pipeline: 1,
    metric: 'throughput',
    targets: { base: 1.3, process: 1.15 },
  },
  {
    name: 'pipelined',
    title: '64 B, 100 connections, 10 messages under way on each',
    transport: 'tcp',
    connections: 100,
    messageBytes: 64,
    pipeline: 10,
    metric: 'throughput',
    targets: { base: 1.2, process: 1.2 },
  },
  {
    name: 'large',
    title: '16 KiB, 100 connections',
    transport: 'tcp',
    connections: 100,
    messageBytes: 16384,
    pipeline: 1,
    metric: 'throughput',
    targets: { base: 1.2, process: 1.2 },
  },
  {
    name: 'latency-4',
    title: '64 B, 4 connections',
    transport: 'tcp',
    connections: 4,
    messageBytes: 64,
    pipeline: 1,
    metric: 'latency',
    targets: { base: 1, process: 1 },
  },
  {
    name: 'latency-1000',
    title: '64 B, 1000 connections',
    transport: 'tcp',
    connections: 1000,
    messageBytes: 64,
    pipeline: 1,
    metric: 'latency',
    targets: { base: 1, process: 1 },
  },
  {
    name: 'udp',
    title: 'UDP, 64 B, 50 clients',
    transport: 'udp',
    connections: 50,
    messageBytes: 64,
    pipeline: 1,
    metric: 'throughput',
    targets: { base: 1.7, process: 1.1 },
  },
  {
    name: 'unix',
    title: 'Unix stream, 64 B, 50 connections',
    transport: 'unix',
    connections: 50,
    messageBytes: 64,
    pipeline: 1,
    metric: 'throughput',
    targets: { base: 1.2, process: 1.2 },
  },
];
