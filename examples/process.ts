/**
 * Children that work, without a server: each squares what comes over its pipe. The last one becomes another program.
 * Node cannot fork: each child runs this script again, up to its own start().
 */
import { Process } from 'tswoole';

const workers = [1, 2].map(
  (n) =>
    new Process(async (worker) => {
      for (let job = await worker.read(); job !== false; job = await worker.read())
        worker.write(`worker ${n}: ${job} squared is ${Number(job) ** 2}`);
    }),
);
for (const worker of workers) worker.start();

for (let job = 1; job <= 4; job++) {
  const worker = workers[job % workers.length];
  worker.write(`${job}`);
  console.log(`${await worker.read()}`);
}

const echo = new Process((child) => child.exec('/bin/echo', ['hello from another program']), true);
echo.start();
console.log(`exec: ${await echo.read()}`.trimEnd());

// Without a pipe to read from, the workers end.
for (const worker of workers) worker.close();
for (let status = await Process.wait(); status !== false; status = await Process.wait())
  console.log(`A child ended with code ${status.code}`);
