import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runScript } from '../support/server.ts';

const CLASS = new URL('../support/question-server.ts', import.meta.url).href;
const INTERNAL = new URL('../../src/server/internal.ts', import.meta.url).href;

test('a subclass has events of its own, which its ports ask for as every port does', async () => {
  const run = await runScript(
    async ({ swoole, report, args }) => {
      const { QuestionServer } = (await import(args.class)) as typeof import('../support/question-server.ts');
      const { stateOf } = (await import(args.internal)) as typeof import('../../src/server/internal.ts');
      const server = new QuestionServer('127.0.0.1');
      const port = server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_TCP);
      if (port === false) throw new Error('no port');
      const open = (): never => {
        throw new Error('nobody connects');
      };
      for (const each of stateOf(server).script.ports) each.speaker = { protocol: 'questions', framings: [], open };

      const start = async (): Promise<void> => {
        try {
          report('start', { answer: await server.start() });
        } catch (error) {
          const { code, message, key } = error as InstanceType<typeof swoole.TswooleError>;
          report('start', { code, message, key });
        }
      };
      const on = (name: string): boolean => server.on(name, () => void server.shutdown());
      const onPort = (name: string): boolean => port.on(name, () => {});
      report('on', { known: [on('silence'), on('start'), onPort('silence'), on('answer')] });
      await start();
      report('on', { known: [onPort('Question')] });
      await start();
      report('on', { known: [on('QUESTION')] });
      await start();
    },
    { class: CLASS, internal: INTERNAL },
  );
  assert.deepEqual(
    run.events('on').map(({ known }) => known),
    [[true, true, false, false], [true], [true]],
    run.output,
  );
  const [first, second, last] = run.events('start');
  const message = 'the server has no question callback: call server.on("question", …) before start()';
  for (const { code, message: told, key } of [first, second])
    assert.deepEqual([code, told, key], ['ERR_CALLBACK_MISSING', message, 'question']);
  assert.equal(last.answer, true);
  assert.match(run.output, /WARNING\t"silence" is an event of the server, not of a port: use server\.on\(\)\n/);
  assert.match(run.output, /WARNING\tthere is no event "answer"\n/);
});
