/** What is measured, and what tswoole promises there, each against node:net in the same round. */
import type { SubjectName } from './support/subjects.ts';

export interface Case {
  name: string;
  title: string;
  connections: number;
  messageBytes: number;
  pipeline: number;
  /** What is compared: answers per second (more is better) or the 99th percentile of the latency (less is better). */
  metric: 'throughput' | 'latency';
  /** The ratio to node:net that is to be reached: at least that for throughput, at most that for latency. */
  targets: Partial<Record<SubjectName, number>>;
}

export const CASES: readonly Case[] = [
  {
    name: 'echo',
    title: '64 B, 100 connections',
    connections: 100,
    messageBytes: 64,
    pipeline: 1,
    metric: 'throughput',
    targets: { base: 1.3, process: 1.15 },
  },
  {
    name: 'pipelined',
    title: '64 B, 100 connections, 10 messages under way on each',
    connections: 100,
    messageBytes: 64,
    pipeline: 10,
    metric: 'throughput',
    targets: { base: 1.2, process: 1.2 },
  },
  {
    name: 'large',
    title: '16 KiB, 100 connections',
    connections: 100,
    messageBytes: 16384,
    pipeline: 1,
    metric: 'throughput',
    targets: { base: 1.2, process: 1.2 },
  },
  {
    name: 'latency-4',
    title: '64 B, 4 connections',
    connections: 4,
    messageBytes: 64,
    pipeline: 1,
    metric: 'latency',
    targets: { base: 1, process: 1 },
  },
  {
    name: 'latency-1000',
    title: '64 B, 1000 connections',
    connections: 1000,
    messageBytes: 64,
    pipeline: 1,
    metric: 'latency',
    targets: { base: 1, process: 1 },
  },
];
