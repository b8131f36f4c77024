import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { strftime } from './strftime.ts';

/** Each conversion that glibc has in the C locale, without %n and %t; the expectations are glibc's own output. */
const EVERY_CONVERSION =
  '%a|%A|%b|%h|%B|%c|%C|%d|%D|%e|%F|%g|%G|%H|%I|%j|%k|%l|%m|%M|%p|%P|%r|%R|%s|%S|%T|%u|%U|%V|%w|%W|%x|%X|%y|%Y|%z|%%';
const GLIBC: readonly (readonly [seconds: number, text: string])[] = [
  [
    1767225605,
    'Thu|Thursday|Jan|Jan|January|Thu Jan  1 00:00:05 2026|20|01|01/01/26| 1|2026-01-01|26|2026|00|12|001| 0|12|01|00|AM|am|12:00:05 AM|00:00|1767225605|05|00:00:05|4|00|01|4|00|01/01/26|00:00:05|26|2026|+0000|%',
  ],
  [
    1709210096,
    'Thu|Thursday|Feb|Feb|February|Thu Feb 29 12:34:56 2024|20|29|02/29/24|29|2024-02-29|24|2024|12|12|060|12|12|02|34|PM|pm|12:34:56 PM|12:34|1709210096|56|12:34:56|4|08|09|4|09|02/29/24|12:34:56|24|2024|+0000|%',
  ],
  [
    1735559999,
    'Mon|Monday|Dec|Dec|December|Mon Dec 30 11:59:59 2024|20|30|12/30/24|30|2024-12-30|25|2025|11|11|365|11|11|12|59|AM|am|11:59:59 AM|11:59|1735559999|59|11:59:59|1|52|01|1|53|12/30/24|11:59:59|24|2024|+0000|%',
  ],
  [
    1798675199,
    'Wed|Wednesday|Dec|Dec|December|Wed Dec 30 23:59:59 2026|20|30|12/30/26|30|2026-12-30|26|2026|23|11|364|23|11|12|59|PM|pm|11:59:59 PM|23:59|1798675199|59|23:59:59|3|52|53|3|52|12/30/26|23:59:59|26|2026|+0000|%',
  ],
];

describe('strftime', () => {
  beforeEach(() => {
    process.env.TZ = 'UTC';
  });

  for (const [seconds, text] of GLIBC) {
    it(`agrees with glibc at ${seconds}`, () => {
      assert.equal(strftime(EVERY_CONVERSION, new Date(seconds * 1000)), text);
    });
  }

  it('uses local time and its offset', () => {
    process.env.TZ = 'America/St_Johns';
    assert.equal(strftime('%F %T %z', new Date(1783000000_000)), '2026-07-02 11:16:40 -0230');
    process.env.TZ = 'Asia/Shanghai';
    assert.equal(strftime('%F %T %z', new Date(1783000000_000)), '2026-07-02 21:46:40 +0800');
  });

  it('counts days across a change of the clock', () => {
    process.env.TZ = 'Europe/Berlin';
    assert.equal(strftime('%j', new Date('2026-12-31T23:30:00+01:00')), '365');
    assert.equal(strftime('%j', new Date('2026-03-29T00:30:00+01:00')), '088');
    assert.equal(strftime('%j', new Date('2026-03-30T00:30:00+02:00')), '089');
  });

  it('honours the flags and ignores E and O', () => {
    const date = new Date('2026-07-02T09:05:00Z');
    assert.equal(strftime('%-d %_m %0e %^a %Ey %Od', date), '2  7 02 THU 26 02');
  });

  it('leaves alone what it does not know', () => {
    assert.equal(strftime('100% %Q %i end%', new Date(0)), '100% %Q %i end%');
  });

  it('does not read a conversion across an escaped percent sign', () => {
    assert.equal(strftime('%%Y', new Date(0)), '%Y');
  });

  it('writes line break, tabulator and zone name', () => {
    assert.equal(strftime('%n%t%Z', new Date(0)), '\n\tUTC');
  });
});
