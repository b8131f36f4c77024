/** In SWOOLE_PROCESS the master opens the file: it may be able to do more than the worker that asks for it. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { SWOOLE_PROCESS } from '../../src/index.ts';
import { open, recorder } from '../support/recorder.ts';
import { Remote } from '../support/remote.ts';
import { startServer } from '../support/server.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root';
let folder: string;

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'tswoole-test-files-'));
  chmodSync(folder, 0o755);
  writeFileSync(join(folder, 'secret'), 'secret', { mode: 0o600 });
  writeFileSync(join(folder, 'public'), 'public');
  mkdirSync(join(folder, 'inside'));
  symlinkSync('/public', join(folder, 'link'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

test('a worker cannot send what it may not read', { skip }, async () => {
  await using server = await startServer({
    mode: SWOOLE_PROCESS,
    settings: { worker_num: 1, user: 'nobody' },
    setup: recorder,
  });
  using remote = await Remote.connect(server);
  const { client, fd } = await open(server);
  const results = await remote.run(
    ({ server }, fd, folder) => [
      process.getuid!() !== 0,
      server.sendfile(fd, `${folder}/secret`),
      server.getLastError(),
      server.sendfile(fd, `${folder}/public`),
    ],
    fd,
    folder,
  );
  assert.deepEqual(results, [true, false, 502, true]);
  assert.equal((await client.read(6)).toString(), 'public');
  client.destroy();
});

test('paths are those that a worker in a root directory of its own sees', { skip }, async () => {
  await using server = await startServer({
    mode: SWOOLE_PROCESS,
    settings: { worker_num: 1, chroot: folder },
    setup: recorder,
  });
  using remote = await Remote.connect(server);
  const { client, fd } = await open(server);
  const results = await remote.run(
    ({ server }, fd, folder) => {
      const missing = server.sendfile(fd, `${folder}/public`);
      process.chdir('/inside');
      return [missing, server.sendfile(fd, '/public'), server.sendfile(fd, '../public'), server.sendfile(fd, '/link')];
    },
    fd,
    folder,
  );
  assert.deepEqual(results, [false, true, true, true]);
  assert.equal((await client.read(18)).toString(), 'publicpublicpublic');
  client.destroy();
});
