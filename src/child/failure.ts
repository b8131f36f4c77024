/** What this room does where something fails while the program is right. */
import { LastError } from '../errors.ts';

export function warn(text: string): void {
  process.emitWarning(text, 'TswooleWarning');
}

/** What fails at one `Process`. */
export class ProcessFailure extends LastError {
  private readonly number: number;

  /** `number`: how warnings call the process. */
  constructor(number: number) {
    super();
    this.number = number;
  }

  /** The script could have known better, or would not find out by itself: it is warned. `error`: an errno, or 0. */
  refuse(error: number, why: string): false {
    warn(`Process #${this.number}: ${why}${error === 0 ? '' : ` (errno ${error})`}`);
    return this.fail(error);
  }
}
