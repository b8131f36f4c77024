/** A wall clock that is set, by NTP or because a machine was asleep, is nothing to connections. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from '../support/client.ts';
import { startServer } from '../support/server.ts';
import { SUBJECTS } from '../support/subjects.ts';
import { CLOCK_VARIABLE } from '../support/wall-clock.ts';

const WALL_CLOCK = new URL('../support/wall-clock.ts', import.meta.url).href;

for (const { name, mode } of SUBJECTS)
  for (const hours of [2, -2])
    test(`a step of the wall clock by ${hours} hours ends nobody and keeps nobody in ${name}`, async () => {
      const directory = mkdtempSync(join(tmpdir(), 'tswoole-clock-'));
      const clock = join(directory, 'ahead');
      writeFileSync(clock, '0');
      try {
        await using server = await startServer({
          mode,
          settings: { worker_num: 2, heartbeat_idle_time: 4, heartbeat_check_interval: 1 },
          env: { NODE_OPTIONS: `--import ${WALL_CLOCK}`, [CLOCK_VARIABLE]: clock },
          setup: ({ server, report }) => {
            server.on('receive', (server, fd, _reactorId, data) => {
              const info = server.getClientInfo(fd);
              report('received', { now: Date.now() / 1000, last: info === false ? 0 : info.last_recv_time });
              server.send(fd, data);
            });
            server.on('close', (_server, fd) => report('close', { fd }));
          },
        });
        const silent = await Client.connect(server.port);
        using talks = await Client.connect(server.port);
        await talks.write('first');
        await talks.read(5);
        await sleep(1000);
        writeFileSync(clock, String(hours * 3_600_000));
        for (let i = 0; i < 10; i++) {
          await sleep(150);
          await talks.write('alive');
          assert.equal(String(await talks.read(5)), 'alive');
        }
        assert.deepEqual(server.events('close'), []);
        const received = server.events('received');
        assert.ok(Math.abs(received[received.length - 1].now - received[0].now - hours * 3600) < 60);
        for (const { now, last } of received.slice(3)) assert.ok(Math.abs(now - last) < 5, `${last} at ${now}`);
        const until = setInterval(() => void talks.write('alive'), 500);
        await server.waitForCount('close', 1);
        clearInterval(until);
        await silent.ended;
        silent.end();
        server.kill('SIGTERM');
        assert.deepEqual(await server.exited(), { code: 0, signal: null });
      } finally {
        rmSync(directory, { recursive: true });
      }
    });
