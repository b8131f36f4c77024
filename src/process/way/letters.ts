/** What every process does with values from other processes: they are read here and given to the application. */
import { emptyLetter, readLetter } from '../../shm/letter.ts';
import { COMMAND, COMMAND_REPLY, isLetter, PIPE_MESSAGE, RELOADED, RESULT, SESSIONS } from '../../shm/messages.ts';
import type { Message } from '../../shm/ring.ts';
import type { Application } from '../application.ts';

export class Letters {
  private readonly application: Application;
  private readonly letter = emptyLetter();

  constructor(application: Application) {
    this.application = application;
  }

  /** Handles a message of the kinds that all processes know, and drops any other. Releases it. */
  handle(message: Message): void {
    const { application, letter } = this;
    const { kind, a, b } = message;
    const known = isLetter(kind);
    if (known) readLetter(message, letter);
    message.release();
    if (!known) return;
    const { life, flags, seconds, value } = letter;
    letter.value = undefined;
    switch (kind) {
      case RESULT:
        application.taskResult(a >>> 0, b, life, flags, seconds, value);
        break;
      case PIPE_MESSAGE:
        application.pipeMessage(a, value, seconds);
        break;
      case COMMAND:
        application.command(a, b, life, value);
        break;
      case COMMAND_REPLY:
        application.commandReply(a, life, flags, value);
        break;
      case RELOADED:
        application.reloaded(a, life, value);
        break;
      case SESSIONS:
        application.takeOver(value);
        break;
    }
  }
}
