/** The name server of `node:dns`. */
import { type Checked, type Rows, text } from './row.ts';

export interface DnsKeys {
  /** `address` or `address:port` of the name server that look-ups use. @default the system's */
  dns_server?: string;
}

export const DNS_ROWS = { dns_server: text() } satisfies Rows<DnsKeys>;

export interface DnsSlice {
  dnsServer: string | null;
}

export function resolveDns(values: Checked<DnsKeys>): DnsSlice {
  return { dnsServer: values.dns_server || null };
}
