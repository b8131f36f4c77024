import { type PortEvents, Server, type ServerEvents } from '../../src/index.ts';
import type { ObjectEvents } from '../../src/server/callbacks/event-objects.ts';
import type { CallbackOf, EventName, NameOf, ObjectCallbackOf } from '../../src/server/callbacks/on.ts';
import { addEvents } from '../../src/server/internal.ts';
import type { Port } from '../../src/server/port.ts';

export interface QuestionPortEvents<Self> extends PortEvents<Self> {
  question: (server: Self, question: { text: string }, fd: number) => unknown;
}

export interface QuestionEvents<Self> extends ServerEvents<Self>, QuestionPortEvents<Self> {
  silence: (server: Self) => unknown;
}

type QuestionPort<Self> = Port<Self, QuestionPortEvents<Self>>;

/** A server with two events of its own, as another room would make one. */
export class QuestionServer extends Server {
  readonly asked: string[] = [];

  constructor(host: string) {
    super(host);
    addEvents(this, { question: { of: 'port', needs: 'questions' }, silence: { of: 'server' } });
  }

  override on<
    Name extends string = NameOf<QuestionEvents<this>>,
    Callback extends ObjectCallbackOf<ObjectEvents<this>, Name> = never,
  >(event: EventName<QuestionEvents<this>, Name>, callback: CallbackOf<QuestionEvents<this>, Name> | Callback): boolean;
  /** Nobody can call it. With two signatures TypeScript takes the first for one that does what the server's own does. */
  override on(this: never, event: never, callback: never, more: never): boolean;
  override on(event: never, callback: never): boolean {
    return super.on(event, callback);
  }

  override listen(host: string, port: number, sockType: number): QuestionPort<this> | false {
    return super.listen(host, port, sockType) as QuestionPort<this> | false;
  }
}
