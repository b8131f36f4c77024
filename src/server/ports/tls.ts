/** TLS of the ports, from what the user has set to what reactors are told. */
import { randomBytes } from 'node:crypto';
import { accessSync, constants } from 'node:fs';
import { TswooleError } from '../../errors.ts';
import { thisProcess } from '../../process/life/this-process.ts';
import type { TlsConfig } from '../../reactor/tls-context.ts';
import { TICKET_KEY_BYTES } from '../../sys/openssl.ts';
import {
  type NormalisedSettings,
  type ResolvedSslSettings,
  tlsFilesOf,
  withAbsolutePaths,
} from '../settings/settings.ts';
import { bootRecord } from '../state/boot-record.ts';
import type { Script } from '../state/script.ts';
import type { TlsBasis } from './tls-basis.ts';

/** Null where no port uses TLS, or this process serves none. To be asked before the process changes its directory. */
export function tlsBasis({ ports }: Script): TlsBasis | null {
  if (!ports.some((port) => port.ssl)) return null;
  if ('inheritance' in thisProcess()) return bootRecord().tls;
  return { directory: process.cwd(), ticketKeys: randomBytes(TICKET_KEY_BYTES).toString('base64') };
}

/** What a reactor must know of a TLS port. */
export function tlsConfig(settings: ResolvedSslSettings, { directory, ticketKeys }: TlsBasis): TlsConfig {
  return {
    ...withAbsolutePaths(settings, directory),
    applicationProtocols: ['http/1.1'],
    ticketKeys: Uint8Array.from(Buffer.from(ticketKeys, 'base64')),
  };
}

/** Every file that is named must be there. What is in it is looked at in start(). */
export function checkSslFiles(values: NormalisedSettings): void {
  for (const [key, file] of tlsFilesOf(values)) checkFile(key, file);
}

/** Certificates that no port uses would mean plain text where its owner believes in TLS. */
export function checkTlsIsSpoken({ ports }: Script): void {
  if (ports.some((port) => port.ssl)) return;
  const named = ports.flatMap((port) => tlsFilesOf(port.settingValues));
  if (named.length === 0) return;
  const [key, file] = named[0];
  throw new TswooleError(
    'ERR_SETTING_VALUE',
    `${key} is set, but no port speaks TLS: add SWOOLE_SSL to the socket type, as in SWOOLE_SOCK_TCP | SWOOLE_SSL`,
    { key, expected: 'a port with SWOOLE_SSL', got: file },
  );
}

function checkFile(key: string, file: string): void {
  try {
    accessSync(file, constants.R_OK);
  } catch (error) {
    throw new TswooleError('ERR_SETTING_VALUE', `cannot read ${key} "${file}": ${(error as Error).message}`, {
      key,
      expected: 'a file that can be read',
      got: file,
    });
  }
}
