/** Clients behind a load balancer that speaks the PROXY protocol. */
import { describeValue, TswooleError } from '../../errors.ts';
import { type AddressRange, parseAddressRange } from '../../protocol/ip-address.ts';
import type { ReactorPortSettings } from '../../reactor/settings.ts';
import { type Checked, type Flag, flag, type Rows, STRINGS } from './row.ts';

export interface ProxyPortKeys {
  /** Take the client's address from the PROXY protocol header, version 1 or 2, that a load balancer sends first. @default false */
  proxy_protocol?: Flag;
  /**
   * The load balancers: addresses and CIDR ranges; required with proxy_protocol. Connections from elsewhere begin without
   * a header. @default none
   */
  proxy_protocol_from?: string[];
}

export const PROXY_PORT_ROWS = {
  proxy_protocol: flag(),
  proxy_protocol_from: STRINGS,
} satisfies Rows<ProxyPortKeys>;

export function resolvePortProxy(values: Checked<ProxyPortKeys>): Pick<ReactorPortSettings, 'proxyFrom'> {
  return { proxyFrom: values.proxy_protocol ? resolveFrom(values.proxy_protocol_from ?? []) : null };
}

/** Without a list everybody could pretend to be anybody. */
function resolveFrom(texts: string[]): AddressRange[] {
  if (texts.length === 0) throw wrongFrom('none, while proxy_protocol is on');
  return texts.map((text) => {
    const range = parseAddressRange(text);
    if (range === null) throw wrongFrom(describeValue(text));
    return range;
  });
}

function wrongFrom(got: string): TswooleError {
  const key = 'proxy_protocol_from';
  const expected = 'addresses or CIDR ranges of load balancers, such as ["10.0.0.0/8", "::1"]';
  const message = `The setting "${key}" wants ${expected}, but got ${got}.`;
  return new TswooleError('ERR_SETTING_VALUE', message, { key, expected, got });
}
