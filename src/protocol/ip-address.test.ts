import assert from 'node:assert/strict';
import { isIPv4, isIPv6 } from 'node:net';
import { describe, it } from 'node:test';
import { prng } from '../../test/support/prng.ts';
import { isInRanges, mapIPv4, parseAddressRange, parseIPv4, parseIPv6 } from './ip-address.ts';

const six = (text: string): Uint8Array => parseIPv6(text)!;
const four = (text: string): Uint8Array => mapIPv4(parseIPv4(text)!);

describe('addresses', () => {
  it('become bytes', () => {
    assert.deepEqual(parseIPv4('192.0.2.255'), Uint8Array.of(192, 0, 2, 255));
    const hex = (text: string): string => Buffer.from(six(text)).toString('hex');
    assert.equal(hex('::'), '0'.repeat(32));
    assert.equal(hex('::1'), `${'0'.repeat(31)}1`);
    assert.equal(hex('1::'), `0001${'0'.repeat(28)}`);
    assert.equal(hex('2001:db8::ff:1'), '20010db8000000000000000000ff0001');
    assert.equal(hex('1:2:3:4:5:6:7:8'), '00010002000300040005000600070008');
    assert.equal(hex('::ffff:1.2.3.4'), '00000000000000000000ffff01020304');
    assert.equal(hex('1:2:3:4:5:6:1.2.3.4'), '00010002000300040005000601020304');
    assert.equal(hex('1:2:3:4:5:6:7::'), '00010002000300040005000600070000');
  });

  it('that are none are null', () => {
    for (const text of ['', '1.2.3', '1.2.3.4.5', '01.2.3.4', '1.2.3.256', ' 1.2.3.4', '::1'])
      assert.equal(parseIPv4(text), null, text);
    for (const text of [
      '',
      ':',
      ':::',
      '1::2::3',
      '1:2:3:4:5:6:7',
      '1:2:3:4:5:6:7:8:9',
      'fe80::1%1',
      '12345::',
      '1.2.3.4',
    ])
      assert.equal(parseIPv6(text), null, text);
  });
});

describe('addresses at random', () => {
  it('are taken exactly where Node takes them', () => {
    const pieces = [
      '',
      ':',
      '::',
      '.',
      '0',
      '1',
      'f',
      'ffff',
      '255',
      '256',
      '01',
      '1.2.3.4',
      '12345',
      'g',
      ':1',
      '1:2',
    ];
    for (let seed = 1; seed <= 50_000; seed++) {
      const random = prng(seed);
      let text = '';
      for (let count = 1 + random.int(12); count > 0; count--) text += pieces[random.int(pieces.length)];
      assert.equal(parseIPv4(text) !== null, isIPv4(text), `seed ${seed}: ${text}`);
      assert.equal(parseIPv6(text) !== null, isIPv6(text), `seed ${seed}: ${text}`);
    }
  });
});

describe('ranges', () => {
  const isIn = (range: string, address: Uint8Array): boolean => isInRanges([parseAddressRange(range)!], address);

  it('hold what agrees in the first bits', () => {
    assert.ok(isIn('10.1.2.3', four('10.1.2.3')));
    assert.ok(!isIn('10.1.2.3', four('10.1.2.2')));
    assert.ok(isIn('10.0.0.0/8', four('10.255.0.1')));
    assert.ok(!isIn('10.0.0.0/8', four('11.0.0.1')));
    assert.ok(isIn('172.16.0.0/12', four('172.31.255.255')));
    assert.ok(!isIn('172.16.0.0/12', four('172.32.0.0')));
    assert.ok(isIn('2001:db8::/33', six('2001:db8:7fff::1')));
    assert.ok(!isIn('2001:db8::/33', six('2001:db8:8000::1')));
    assert.ok(isIn('::/0', six('ffff::')));
    assert.ok(isIn('0.0.0.0/0', four('255.255.255.255')));
    assert.ok(!isIn('0.0.0.0/0', six('::1')));
  });

  it('any of several', () => {
    const ranges = ['10.0.0.1', '::1'].map((text) => parseAddressRange(text)!);
    assert.ok(isInRanges(ranges, six('::1')) && isInRanges(ranges, four('10.0.0.1')));
    assert.ok(!isInRanges(ranges, four('10.0.0.2')) && !isInRanges([], six('::1')));
  });
});
