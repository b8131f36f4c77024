import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Stage } from '../../test/support/reactor.ts';

const MALFORMED = /^connection \d+ sent a package that cannot be accepted, closing it \[\d+\]/;

const LINES = { kind: 'eof', eof: Buffer.from('\n'), split: true, max: 10 } as const;

function strangers(stage: Stage, count: number): void {
  for (let i = 0; i < count; i++) {
    const client = stage.kernel.connect(stage.ports[0].listener);
    stage.settle();
    client.send('much too long for that\n');
    stage.settle();
    client.close();
    stage.settle();
  }
}

describe('what strangers do again and again', () => {
  const stageOf = (): Stage => new Stage({ ports: [{ framing: LINES }] });

  it('is told of at once, and then once a second with the number', () => {
    const stage = stageOf();
    strangers(stage, 1);
    assert.equal(stage.logged.length, 1);
    assert.match(stage.logged[0], MALFORMED);
    strangers(stage, 10);
    assert.equal(stage.logged.length, 1);
    stage.pass(3000);
    assert.equal(stage.logged.length, 2);
    assert.match(stage.logged[1], /\(and 9 more like this\)$/);
    stage.pass(5000);
    assert.equal(stage.logged.length, 2);
    strangers(stage, 1);
    assert.equal(stage.logged.length, 3);
    assert.match(stage.logged[2], /\]$/);
  });

  it('is told of at the end of the server, too', () => {
    const stage = stageOf();
    strangers(stage, 5);
    stage.reactor.closeAll();
    assert.equal(stage.logged.length, 2);
    assert.match(stage.logged[1], /\(and 3 more like this\)$/);
  });
});
