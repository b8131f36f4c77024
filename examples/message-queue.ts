/** Jobs in a System V message queue: whoever is idle takes the next one. */
import { Process } from 'tswoole';

const WORKERS = 3;

const workers = Array.from({ length: WORKERS }, (_, n) => {
  const worker = new Process(async (self) => {
    for (let job = await self.pop(); job !== false && `${job}` !== 'stop'; job = await self.pop()) {
      console.log(`worker ${n} takes job ${job}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  });
  // The same key in every process that runs this script, and so the same queue.
  worker.useQueue();
  return worker;
});
for (const worker of workers) worker.start();

const [queue] = workers;
for (let job = 1; job <= 9; job++) await queue.push(`${job}`);
for (let n = 0; n < WORKERS; n++) await queue.push('stop');
for (let n = 0; n < WORKERS; n++) await Process.wait();

const status = queue.statQueue();
console.log(`Done, ${status === false ? '?' : status.queue_num} messages left`);
// A queue outlives its processes, unless it is removed.
queue.freeQueue();
