import { SWOOLE_ERROR_INVALID_PARAMS, SWOOLE_ERROR_WRONG_OPERATION } from '../../constants.ts';
import { describeValue, TswooleError } from '../../errors.ts';
import { postLetter } from '../../shm/letter.ts';
import { PIPE_MESSAGE } from '../../shm/messages.ts';
import type { Member } from '../state/member.ts';
import { fail, warn } from '../state/script.ts';

/** Sends a value to the pipeMessage event of another process. Where its ring is full it waits here, in order. */
export function sendMessage({ script, runtime }: Member, message: unknown, workerId: number): boolean {
  const { layout } = runtime.segment;
  const refuse = (text: string, code: number): false => {
    warn(script, `sendMessage(): ${text}`);
    return fail(script, code);
  };
  if (message === undefined)
    throw new TswooleError('ERR_ARGUMENT', 'sendMessage() needs a message', { key: 'message' });
  if (script.callbacks.get('pipeMessage') === null)
    return refuse(
      'there is no pipeMessage callback: call server.on("pipeMessage", …) before start()',
      SWOOLE_ERROR_WRONG_OPERATION,
    );
  if (!Number.isInteger(workerId) || workerId < 0 || workerId >= layout.workerIdCount)
    return refuse(
      `there is no worker ${describeValue(workerId)}: they count from 0 to ${layout.workerIdCount - 1}`,
      SWOOLE_ERROR_INVALID_PARAMS,
    );
  if (workerId === runtime.workerId) return refuse('a process cannot send to itself', SWOOLE_ERROR_WRONG_OPERATION);
  const sender = Math.max(0, runtime.workerId);
  postLetter(runtime.outbox.toWorker(workerId), PIPE_MESSAGE, sender, 0, 0, 0, message, 'a message');
  runtime.sent();
  return true;
}
