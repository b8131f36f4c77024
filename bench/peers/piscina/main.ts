/** A pool of one worker thread, fed with as many tasks as are under way. */
import { runTurn, serveTurns } from '../../load/round-trips.ts';

interface Pool {
  run(task: unknown): Promise<unknown>;
}
type PiscinaClass = new (options: object) => Pool;

const name = 'piscina';
const { Piscina } = (await import(name)) as { Piscina: PiscinaClass };
const concurrentTasksPerWorker = Number(process.argv[2] ?? 1);
const filename = new URL('worker.js', import.meta.url).href;
const pool = new Piscina({ filename, minThreads: 1, maxThreads: 1, concurrentTasksPerWorker });

serveTurns((turn) =>
  runTurn(turn, (payload, answered) => {
    void pool.run(payload).then(answered);
  }),
);
