/**
 * What `on` takes: the name of an event in any case, and the callback of that event. `Rows` are the callbacks by event, typed
 * by who owns them, such as `Events<this>`. A name that is no event is one error, on the name, which says what was meant.
 */
import type { AnyCallback } from './events.ts';

/** The names that an editor offers. */
export type NameOf<Rows> = keyof Rows & string;

/** The name itself where it is right, or only known when the program runs; else what can be said of it. */
export type EventName<Rows, Name extends string> = string extends Name
  ? Name
  : Lowercase<Name> extends Lowercase<NameOf<Rows>>
    ? Name
    : Hint<Rows, Name>;

/** The callback of an event; where a name is wrong, that of the event which was meant, so that nothing else is wrong. */
export type CallbackOf<Rows, Name extends string> = string extends Name
  ? AnyCallback
  : Lowercase<Name> extends keyof ByLowerName<Rows>
    ? ByLowerName<Rows>[Lowercase<Name>]
    : [Meant<Rows, Name>] extends [never]
      ? (server: OwnerOf<Rows>, ...rest: never[]) => unknown
      : Rows[Meant<Rows, Name>];

/** The callback of an event that takes one object in place of single arguments; never where there is none. */
export type ObjectCallbackOf<Rows, Name extends string> =
  Lowercase<Name> extends keyof ByLowerName<Rows> ? ByLowerName<Rows>[Lowercase<Name>] : never;

/** Who owns them: what every callback gets first. */
type OwnerOf<Rows> = Rows[keyof Rows] extends (owner: infer Owner, ...rest: never[]) => unknown ? Owner : never;

type ByLowerName<Rows> = { [Name in NameOf<Rows> as Lowercase<Name>]: Rows[Name] };

/** Where no name is near, all of them: written as a mapped type, they are told one by one. */
type Hint<Rows, Name extends string> = [Meant<Rows, Name>] extends [never]
  ? { [Row in NameOf<Rows>]: Row }[NameOf<Rows>]
  : `did you mean ${Meant<Rows, Name>}?`;

/** The events whose names are the nearest, and near; never where there is none. */
type Meant<Rows, Name extends string> = [Near<Rows, Name, OneSlip>] extends [never]
  ? Near<Rows, Name, TwoSlips>
  : Near<Rows, Name, OneSlip>;

/** PHP writes `onReceive` where the event is `receive`. */
type Near<Rows, Name extends string, Slips extends unknown[]> = {
  [Row in NameOf<Rows>]: true extends
    | IsNear<Lowercase<Name>, Lowercase<Row>, Slips>
    | IsNear<Lowercase<Name>, `on${Lowercase<Row>}`, Slips>
    ? Row
    : never;
}[NameOf<Rows>];

type OneSlip = [unknown];
type TwoSlips = [unknown, unknown];

/** True where as many letters as there are slips must be changed, left out or put in, at most; `boolean` is true too. */
type IsNear<One extends string, Other extends string, Slips extends unknown[]> = One extends Other
  ? true
  : [One, Other] extends [`${infer A}${infer RestOfOne}`, `${infer B}${infer RestOfOther}`]
    ? A extends B
      ? IsNear<RestOfOne, RestOfOther, Slips>
      : Slips extends [unknown, ...infer Left]
        ? IsNear<RestOfOne, RestOfOther, Left> | IsNear<RestOfOne, Other, Left> | IsNear<One, RestOfOther, Left>
        : false
    : IsShort<`${One}${Other}`, Slips>;

type IsShort<Text extends string, Slips extends unknown[]> = Text extends `${string}${infer Rest}`
  ? Slips extends [unknown, ...infer Left]
    ? IsShort<Rest, Left>
    : false
  : true;
