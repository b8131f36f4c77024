import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Served, Stage } from '../../test/support/reactor.ts';
import type { FramingConfig } from '../protocol/framer.ts';

const LINES: FramingConfig = { kind: 'eof', eof: Buffer.from('\n'), split: true, max: 1000 };
/** One byte of length, then so many bytes. */
const COUNTED: FramingConfig = { kind: 'length', type: 'C', lengthOffset: 0, bodyOffset: 1, max: 1000 };
const RAW: FramingConfig = { kind: 'raw' };
const TO_COUNTED = 1;
const TO_RAW = 2;

/** Lines at first; the line "counted" or "raw" asks for another framing, as a request for an upgrade does. */
function stage(framing = LINES): Stage {
  const made = new Stage({ ports: [{ framing, otherFramings: [COUNTED, RAW] }] });
  made.receiver.onPackage = (served, bytes) => {
    const text = bytes.toString();
    if (text === 'counted\n') change(made, served, TO_COUNTED);
    if (text === 'raw\n') change(made, served, TO_RAW);
  };
  return made;
}

function change(stage: Stage, { slot, serial }: Served, protocol: number): void {
  stage.table.switchProtocol(slot, serial, protocol);
}

const told = (served: Served): string[] => served.packages.map((bytes) => bytes.toString('latin1'));

describe('a connection that changes its framing', () => {
  it('cuts what comes later by the new one', () => {
    const all = stage();
    const { client, served } = all.connect();
    client.send('one\ncounted\n');
    all.settle();
    client.send('\x03a\nb\x01c');
    all.settle();
    assert.deepEqual(told(served), ['one\n', 'counted\n', '\x03a\nb', '\x01c']);
  });

  it('cuts the rest of the same read by it', () => {
    const all = stage();
    const { client, served } = all.connect();
    client.send('counted\n\x02ab\x05cd');
    all.settle();
    client.send('efg');
    all.settle();
    assert.deepEqual(told(served), ['counted\n', '\x02ab', '\x05cdefg']);
  });

  it('scans an unfinished package anew, wherever the old framing was', () => {
    const all = stage();
    const { client, served } = all.connect();
    client.send('\x09abc');
    all.settle();
    change(all, served, TO_COUNTED);
    client.send('defghi\x01j');
    all.settle();
    assert.deepEqual(told(served), ['\x09abcdefghi', '\x01j']);
  });

  it('does so behind a receiver that was full', () => {
    const all = stage();
    const { client, served } = all.connect();
    all.receiver.full = true;
    client.send('counted\n\x01a');
    all.settle();
    assert.deepEqual(told(served), []);
    all.receiver.full = false;
    all.settle();
    all.settle();
    assert.deepEqual(told(served), ['counted\n', '\x01a']);
  });

  it('may have none from then on, or only from then on', () => {
    const all = stage();
    const { client, served } = all.connect();
    client.send('raw\nab\nc');
    all.settle();
    client.send('d\n');
    all.settle();
    assert.deepEqual(told(served), ['raw\n', 'ab\nc', 'd\n']);
    const bare = stage(RAW);
    const other = bare.connect();
    other.client.send('raw then counted');
    bare.settle();
    change(bare, other.served, TO_COUNTED);
    other.client.send('\x01a\x01b');
    bare.settle();
    assert.deepEqual(told(other.served), ['raw then counted', '\x01a', '\x01b']);
  });

  it('can go back', () => {
    const all = stage();
    const { client, served } = all.connect();
    change(all, served, TO_COUNTED);
    client.send('\x01a');
    all.settle();
    change(all, served, 0);
    client.send('b\nc\n');
    all.settle();
    assert.deepEqual(told(served), ['\x01a', 'b\n', 'c\n']);
  });

  it('changes that of nobody else: not even where a worker is late', () => {
    const all = stage();
    const one = all.connect();
    const other = all.connect();
    one.client.send('counted\n');
    other.client.send('a\n');
    all.settle();
    other.client.send('b\n');
    all.settle();
    assert.deepEqual(told(other.served), ['a\n', 'b\n']);
    // As of somebody who had the slot before.
    change(all, { ...other.served, serial: other.served.serial + 1 } as Served, TO_COUNTED);
    other.client.send('c\n');
    all.settle();
    assert.deepEqual(told(other.served), ['a\n', 'b\n', 'c\n']);
  });

  it('is one that its port has', () => {
    const all = stage();
    const { client, served } = all.connect();
    change(all, served, 3);
    client.send('a\n');
    assert.throws(() => all.turn(), /port 0 has no such framing: protocol=3 of 3/);
  });
});
