/**
 * dispatch_func and package_length_func: functions of the user that answer at once, in the middle of the sockets' work.
 * Whatever they throw or answer is told, and harms nothing but what they were asked about.
 */
import { SWOOLE_DISPATCH_RESULT_DISCARD_PACKET, SWOOLE_LOG_ERROR, SWOOLE_LOG_WARNING } from '../../constants.ts';
import { describeError, describeValue } from '../../errors.ts';
import type { DispatchFunction, PackageLengthFunction } from '../settings/settings.ts';
import type { Script } from '../state/script.ts';

/** A number, which may still be no worker; the one for "discard" when the function has failed or answered something else. */
export type AskDispatch = (fd: number, type: number, data: Buffer | null) => number;

export function guardedDispatch(script: Script, call: DispatchFunction): AskDispatch {
  return (fd, type, data) => {
    try {
      const answer: unknown = data === null ? call(script.self, fd, type) : call(script.self, fd, type, data);
      if (typeof answer === 'number') return answer;
      tellWrongAnswer(script, 'dispatch_func', 'the id of a worker', answer);
    } catch (error) {
      script.logger.log(SWOOLE_LOG_ERROR, `dispatch_func failed: ${describeError(error)}`);
    }
    return SWOOLE_DISPATCH_RESULT_DISCARD_PACKET;
  };
}

/** Answers a whole number; -1, which closes the connection, when the function has failed or answered something else. */
export function guardedLength(script: Script, call: PackageLengthFunction): (data: Buffer) => number {
  return (data) => {
    try {
      const answer: unknown = call(data);
      if (Number.isInteger(answer)) return answer as number;
      tellWrongAnswer(script, 'package_length_func', 'a whole number of bytes', answer);
    } catch (error) {
      script.logger.log(SWOOLE_LOG_ERROR, `package_length_func failed: ${describeError(error)}`);
    }
    return -1;
  };
}

function tellWrongAnswer(script: Script, name: string, expected: string, answer: unknown): void {
  const isPromise = answer instanceof Promise;
  // Nobody waits for it: without this its failure would end the process.
  if (isPromise) answer.catch(() => {});
  const hint = isPromise ? '; it cannot be async' : '';
  script.logger.log(SWOOLE_LOG_WARNING, `${name} must answer ${expected}, got ${describeValue(answer)}${hint}`);
}
