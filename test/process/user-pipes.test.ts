/** The pipes between user processes and everybody else, in every type, and what dies and comes back around them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Client } from '../support/client.ts';
import { type OrderScope, Orders } from '../support/orders.ts';
import { Remote } from '../support/remote.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { SUBJECTS } from '../support/subjects.ts';
import { userPid } from '../support/users.ts';

for (const { name, mode } of SUBJECTS) {
  describe(`the pipe of a user process in ${name}`, { concurrency: false }, () => {
    it('broadcasts what workers hear, as the manual has it', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: 2, open_eof_split: true, package_eof: '\n' },
        setup: ({ server, swoole }) => {
          const user = new swoole.Process(
            async (self) => {
              const socket = self.exportSocket();
              if (socket === false) return;
              for (;;) {
                const message = await socket.recv();
                if (message === false) return;
                for (const fd of server.connections) server.send(fd, message);
              }
            },
            false,
            2,
            true,
          );
          server.addProcess(user);
          server.on('receive', (_server, _fd, _reactorId, data) => {
            const socket = user.exportSocket();
            if (socket !== false) void socket.send(data);
          });
        },
      });
      const clients = await Promise.all(Array.from({ length: 8 }, () => Client.connect(server.port)));
      const [first] = clients;
      const said = clients.map((_, index) =>
        Array.from({ length: 25 }, (_, n) => `${index}.${n}${'x'.repeat(n * 50)}`),
      );
      // A connection that was not accepted yet is none to broadcast to: said again until all have heard it.
      let told = false;
      const hello = Promise.all(clients.map((client) => hears(client, 'hello'))).finally(() => {
        told = true;
      });
      const again = server.until(async () => {
        if (!told) await first.write('hello\n');
        return told;
      }, 'a word that all hear');
      await Promise.all([hello, again]);
      await Promise.all(clients.map((client, index) => client.write(`${said[index].join('\n')}\nend\n`)));
      const heard = await Promise.all(
        clients.map(async (client) => {
          const lines: string[] = [];
          for (let ends = 0; ends < clients.length; ) {
            const line = await client.readLine();
            if (line === 'end') ends++;
            else if (line !== 'hello') lines.push(line);
          }
          return lines;
        }),
      );
      const all = said.flat().sort();
      for (const lines of heard) {
        assert.deepEqual([...lines].sort(), all);
        for (const index of clients.keys())
          assert.deepEqual(
            lines.filter((line) => line.startsWith(`${index}.`)),
            said[index],
            'in the order in which one connection has said it',
          );
      }
      for (const client of clients) client.destroy();
    });

    it('keeps messages whole from many at once, and reaches any worker', async () => {
      await using server = await startPipes(mode, 4);
      using remote = await Remote.connect(server);
      const orders = new Orders(server, remote);
      const PER_WORKER = 300;
      // Longer than all that the kernel holds for the pipe: senders wait for room.
      const write = ({ processes: [user] }: OrderScope, id: number, count: number) => {
        const socket = user.exportSocket();
        if (socket === false) return [];
        const sent = Array.from({ length: count }, (_, n) =>
          socket.send(`${id}:${n}:${'y'.repeat((n * 997) % 60_000)}`),
        );
        return Promise.all(sent).then(
          (answers) => answers.filter((each) => typeof each === 'number' && each > 0).length,
        );
      };
      const sent = await Promise.all([0, 1, 2, 3, 4].map((id) => orders.run(id, write, id, PER_WORKER)));
      assert.deepEqual(sent, new Array(5).fill(PER_WORKER));
      await server.until(
        async () => (await orders.run(5, () => (globalThis as { count?: number }).count ?? 0)) >= 5 * PER_WORKER,
        'all messages',
      );
      const wrong = await orders.run(
        5,
        (_, perWorker) => {
          const { got } = globalThis as unknown as { got: [number, number, number][] };
          const next = [0, 0, 0, 0, 0];
          return got.filter(([id, n, length]) => {
            const good = n === next[id] && length === (n * 997) % 60_000 && n < perWorker;
            next[id] = n + 1;
            return !good;
          });
        },
        PER_WORKER,
      );
      assert.deepEqual(wrong, []);

      // The other way: whoever waits first gets it, and each message goes to one.
      const waiting = [0, 1, 2, 3, 4].map((id) =>
        orders.run(id, async ({ processes: [user] }) => {
          const socket = user.exportSocket();
          const texts: string[] = [];
          while (socket !== false) {
            const text = String(await socket.recv());
            if (text === 'end') break;
            texts.push(text);
          }
          return texts;
        }),
      );
      await orders.run(5, async ({ processes: [user] }) => {
        const socket = user.exportSocket();
        if (socket === false) return;
        for (let n = 0; n < 500; n++) await socket.send(`message ${n}`);
        for (let n = 0; n < 5; n++) user.write('end');
      });
      const texts = await Promise.all(waiting);
      const expected = Array.from({ length: 500 }, (_, n) => `message ${n}`).sort();
      assert.deepEqual(texts.flat().sort(), expected);
    });

    it('carries bytes, nothing, or standard input and output', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: 1, task_worker_num: 1 },
        setup: ({ server, swoole, report, control, takeOrders }) => {
          const stream = new swoole.Process(
            async (self) => {
              report('user', { id: self.id });
              const socket = self.exportSocket();
              for (let text = ''; socket !== false; ) {
                text += String(await socket.recv(1000));
                if (text.endsWith('.')) await socket.send(`<${text.length}>`);
              }
            },
            false,
            1,
          );
          const none = new swoole.Process(
            (self) => {
              report('none', { pipe: self.pipe, wrote: self.write('x'), socket: self.exportSocket() });
              setInterval(() => {}, 60_000);
            },
            false,
            0,
          );
          const shell = new swoole.Process((self) => {
            report('user', { id: self.id });
            console.log('printed');
            console.error('complained');
            process.stdin.on('data', (data) => console.log(`echo ${data}`));
          }, true);
          for (const each of [stream, none, shell]) server.addProcess(each);
          server.on('receive', () => {});
          server.on('task', () => {});
          control();
          takeOrders(stream, none, shell);
        },
      });
      using remote = await Remote.connect(server);
      const orders = new Orders(server, remote);
      const answer = await orders.run(0, async ({ processes: [stream] }) => {
        for (let n = 0; n < 100; n++) if (stream.write('z'.repeat(99)) !== 99) return 'not written';
        stream.write('.');
        return String(await stream.read());
      });
      assert.equal(answer, '<9901>');
      const [none] = await server.waitForCount('none', 1);
      assert.deepEqual([none.pipe, none.wrote, none.socket], [-1, false, false]);
      assert.deepEqual(
        await orders.run(0, async ({ processes: [, none] }) => [
          none.pipe,
          none.write('x'),
          none.exportSocket(),
          await none.read(),
        ]),
        [-1, false, false, false],
      );
      await userPid(server, 4);
      const printed = await orders.run(1, async ({ processes: [, , shell] }) => {
        let text = '';
        while (!text.includes('complained\n')) text += String(await shell.read());
        shell.write('typed');
        while (!text.includes('echo typed\n')) text += String(await shell.read());
        return text;
      });
      assert.equal(printed, 'printed\ncomplained\necho typed\n');
      assert.doesNotMatch(server.output, /printed|complained|echo/);
    });

    it('keeps what was written while the process was dead', async () => {
      await using server = await startPipes(mode, 1);
      using remote = await Remote.connect(server);
      const orders = new Orders(server, remote);
      const pid = await userPid(server, 2);
      process.kill(pid, 'SIGSTOP');
      const sent = await orders.run(0, ({ processes: [user] }) => [0, 1, 2].map((n) => user.write(`9:${n}:`)));
      assert.deepEqual(sent, [4, 4, 4]);
      process.kill(pid, 'SIGKILL');
      await userPid(server, 2, pid);
      await server.until(
        async () => (await orders.run(2, () => (globalThis as { count?: number }).count ?? 0)) === 3,
        'what was written before',
      );
    });
  });
}

/** Workers, a task worker, and a user process that notes what comes over its pipe: id, number, length. */
function startPipes(mode: number, workerNum: number): Promise<TestServer> {
  return startServer({
    mode,
    settings: { worker_num: workerNum, task_worker_num: 1 },
    setup: ({ server, swoole, report, control, takeOrders }) => {
      const user = new swoole.Process(async (self) => {
        report('user', { id: self.id });
        const socket = self.exportSocket();
        const notes = globalThis as unknown as { got: number[][]; count: number };
        notes.got = [];
        while (socket !== false) {
          const [id, number, rest] = String(await socket.recv()).split(':');
          notes.got.push([Number(id), Number(number), rest.length]);
          notes.count = notes.got.length;
        }
      });
      server.addProcess(user);
      server.on('receive', () => {});
      server.on('task', () => {});
      server.on('workerError', (_, id, pid, code, signal) =>
        report('workerError', { id, workerPid: pid, code, signal }),
      );
      control();
      takeOrders(user);
    },
  });
}

async function hears(client: Client, word: string): Promise<void> {
  while ((await client.readLine()) !== word);
}
