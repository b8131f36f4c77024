/** What the load generator prints. */
export interface LoadResult {
  targets: TargetResult[];
  /** Processor time of the whole life of the generator. */
  cpuSeconds: number;
}

export interface TargetResult {
  /** A port number, or the path of a Unix socket. */
  port: string;
  /** The median of the rounds. */
  requestsPerSecond: number;
  /** The medians of the rounds; null when latency is not measured. */
  latencyUs: Latency | null;
  /** Bytes that came back in all measured rounds; as many were sent. */
  bytes: number;
  /** Answers since the first connection, warm-up included. */
  requestsTotal: number;
  /** Connections that broke, or on which bytes were lost, changed, mixed or made up. */
  errors: number;
  firstError: string | null;
  rounds: Round[];
}

export interface Round {
  requests: number;
  requestsPerSecond: number;
  latencyUs: Latency | null;
  /** The generator's own share of its processor. Near 1 the server may have waited for the generator. */
  generatorCpu: number;
}

export interface Latency {
  p50: number;
  p90: number;
  p99: number;
  p999: number;
  max: number;
}
