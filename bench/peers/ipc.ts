/** What Node has for messages between processes: `child.send()` and `process.send()`. `ipc.ts json|advanced`. */
import { fork, type Serializable } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { runTurn, serveTurns } from '../load/round-trips.ts';

if (process.send !== undefined && process.argv[2] === 'child') {
  process.on('message', (message) => process.send!(message));
} else {
  const serialization = process.argv[2] === 'advanced' ? 'advanced' : 'json';
  const child = fork(fileURLToPath(import.meta.url), ['child'], { serialization });
  process.once('exit', () => child.kill());
  let waiting: ((value: unknown) => void)[] = [];
  let next = 0;
  child.on('message', (message) => {
    if (next === 1024) {
      waiting = waiting.slice(next);
      next = 0;
    }
    waiting[next++](message);
  });
  serveTurns((turn) =>
    runTurn(turn, (payload, answered) => {
      waiting.push(answered);
      child.send(payload as Serializable);
    }),
  );
}
