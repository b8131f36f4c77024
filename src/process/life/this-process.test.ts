import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { DAEMON_VARIABLE, PROCESS_VARIABLE, type ThreadData } from './this-process.ts';

const MODULE = JSON.stringify(new URL('./this-process.ts', import.meta.url));
/** What a run of the script says that it is. */
const TELL = `
  import(${MODULE}).then(({ isFirst, thisProcess }) => {
    tell({ me: thisProcess(), first: isFirst(), variables: Object.keys(process.env) });
  });`;

interface Told {
  me: unknown;
  first: boolean;
  variables: string[];
}

function inProcess(variables: Record<string, unknown>): Told {
  const texts = Object.entries(variables).map(([name, value]) => [name, JSON.stringify(value)]);
  const { stdout, stderr } = spawnSync(
    process.execPath,
    ['-e', `const tell = (told) => process.stdout.write(JSON.stringify(told)); ${TELL}`],
    { encoding: 'utf8', env: { ...process.env, ...Object.fromEntries(texts) } },
  );
  assert.equal(stderr, '');
  return JSON.parse(stdout);
}

function inThread(workerData?: unknown, env?: Record<string, string>): Promise<Told> {
  const code = `const tell = (told) => require('node:worker_threads').parentPort.postMessage(told); ${TELL}`;
  return new Promise((resolve, reject) => {
    new Worker(code, { eval: true, workerData, env: { ...process.env, ...env } })
      .once('message', resolve)
      .once('error', reject);
  });
}

const RECORD = { path: [2, 5], pids: { 1: 4711 }, hasPipe: true, daemon: false };

describe('a run of the script', () => {
  it('is the first where nobody has told it anything', () => {
    const { me, first } = inProcess({});
    assert.deepEqual(me, { kind: 'first', daemon: null, record: null });
    assert.equal(first, true);
  });

  it('is the first as a daemon, and takes over what it is told', () => {
    const daemon = { place: { server: 1, before: [] }, attempts: [] };
    const { me, first, variables } = inProcess({ [DAEMON_VARIABLE]: daemon });
    assert.deepEqual(me, { kind: 'first', daemon, record: null });
    assert.equal(first, true);
    assert.ok(!variables.includes(DAEMON_VARIABLE), 'its children are free');
  });

  it('replays on its way to the place of a Process, and not when it has none', () => {
    const { me, first, variables } = inProcess({ [PROCESS_VARIABLE]: RECORD });
    assert.deepEqual(me, { kind: 'replay', record: RECORD });
    assert.equal(first, true, 'no server has started it');
    assert.ok(!variables.includes(PROCESS_VARIABLE), 'its children are free');
    const record = { ...RECORD, path: [], daemon: true };
    assert.deepEqual(inProcess({ [PROCESS_VARIABLE]: record }).me, { kind: 'first', daemon: null, record });
  });
});

describe('a thread that runs the script', () => {
  it('is what it is told, and no variable changes that', async () => {
    const tswoole = { kind: 'reactor', config: { id: 3 } };
    const data = { tswoole } as unknown as ThreadData;
    const { me, first } = await inThread(data, { [PROCESS_VARIABLE]: JSON.stringify(RECORD) });
    assert.deepEqual(me, tswoole);
    assert.equal(first, false);
  });

  it('of the user’s is told nothing', async () => {
    for (const workerData of [undefined, null, 'text', { of: 'the user' }])
      assert.deepEqual((await inThread(workerData)).me, { kind: 'first', daemon: null, record: null });
  });
});
