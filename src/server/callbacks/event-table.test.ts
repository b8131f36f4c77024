import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { Callbacks, unknownEvent } from './callbacks.ts';
import { CORE_EVENTS } from './event-rows.ts';
import { EventTable } from './event-table.ts';

describe('EventTable', () => {
  it('finds events by names of any case, and none that is not there', () => {
    const events = new EventTable();
    assert.deepEqual(events.find('BUFFERfull'), { name: 'bufferFull', of: 'port', needs: 'connections' });
    for (const name of ['', 'receives', 'constructor', '__proto__']) assert.equal(events.find(name), undefined);
  });

  it('knows what each thing that a server may have asks for', () => {
    const events = new EventTable();
    assert.deepEqual(
      ['stream', 'datagrams', 'task_worker_num', 'connections', 'http'].map((need) => events.needing(need)),
      [['receive'], ['packet'], ['task'], ['connect', 'close', 'bufferFull', 'bufferEmpty'], []],
    );
  });

  it('takes further rows, of one server alone, which callbacks made before know too', () => {
    const [events, others] = [new EventTable(), new EventTable()];
    const ofServer = new Callbacks(events, 'server');
    const ofPort = new Callbacks(events, 'port');
    events.add({ request: { of: 'port', needs: 'http' }, cacheMiss: { of: 'server' } });
    assert.deepEqual(events.needing('http'), ['request']);
    assert.deepEqual([ofPort.knows('Request'), ofServer.knows('request')], [true, false]);
    assert.deepEqual([ofPort.knows('cacheMiss'), ofServer.knows('CACHEMISS')], [false, true]);
    assert.match(unknownEvent(events, 'cacheMiss'), /an event of the server/);
    assert.match(unknownEvent(events, 'onRequest'), /leave "on" out/);
    assert.deepEqual([others.find('request'), others.needing('http')], [undefined, []]);
  });
});

describe('the page of the events', () => {
  const page = readFileSync(new URL('../../../docs/events.md', import.meta.url), 'utf8');
  const [head, , , , ofConnections] = page.split(/\n## /);

  /** The names in the first column. */
  function namesIn(text: string): string[] {
    return text
      .split('\n')
      .filter((line) => line.startsWith('| `'))
      .flatMap((line) => [...line.split('|')[1].matchAll(/`(\w+)`/g)].map(([, name]) => name));
  }

  it('has each event in its table, once, and no other', () => {
    assert.deepEqual(namesIn(head).sort(), Object.keys(CORE_EVENTS).sort());
  });

  it('tells of each event in a paragraph of its own, those of ports together', () => {
    const told = (text: string): string[] =>
      [...text.matchAll(/^- (\*\*\w+\*\*(?:, \*\*\w+\*\*)*):/gm)].flatMap(([, names]) => names.match(/\w+/g) ?? []);
    assert.deepEqual(told(page).sort(), Object.keys(CORE_EVENTS).sort());
    const ofPorts = Object.entries(CORE_EVENTS).filter(([, { of }]) => of === 'port');
    assert.match(ofConnections, /^Connections\n/);
    assert.deepEqual(told(ofConnections).sort(), ofPorts.map(([name]) => name).sort());
  });
});
