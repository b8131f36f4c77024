/** TLS of ports made with SWOOLE_SSL; on other ports these settings do nothing. */
import { resolve } from 'node:path';
import type { TlsConfig } from '../../reactor/tls-context.ts';
import {
  CERTIFICATES,
  type Checked,
  type Flag,
  filled,
  flag,
  I32_MAX,
  type Rows,
  type SniCertificate,
  text,
  U8_MAX,
  whole,
} from './row.ts';

export interface TlsPortKeys {
  /** Path of the certificate chain (PEM). @default none */
  ssl_cert_file?: string;
  /** Path of the private key (PEM). @default none */
  ssl_key_file?: string;
  /** Pass phrase of the private key. @default none */
  ssl_passphrase?: string;
  /** Certificates by host name; `*.example.org` stands for one label. @default none */
  ssl_sni_certs?: Record<string, SniCertificate>;
  /** Allowed protocol versions, SWOOLE_SSL_TLSv1_2 | … @default 0 (TLS 1.2 and 1.3) */
  ssl_protocols?: number;
  /** Cipher list in OpenSSL's form; '' = OpenSSL's own. @default 'EECDH+AESGCM:EDH+AESGCM:AES256+EECDH:AES256+EDH' */
  ssl_ciphers?: string;
  /** The server's order of ciphers decides. @default true */
  ssl_prefer_server_ciphers?: Flag;
  /** Curves for the key exchange. @default 'auto' */
  ssl_ecdh_curve?: string;
  /** Path of the Diffie-Hellman parameters (PEM). @default none */
  ssl_dhparam?: string;
  /** Demand a valid client certificate. @default false */
  ssl_verify_peer?: Flag;
  /** Accept self-signed client certificates. @default false */
  ssl_allow_self_signed?: Flag;
  /** Path of the authorities of client certificates (PEM); makes the server ask for one. @default none */
  ssl_client_cert_file?: string;
  /** Path of a bundle of authorities (PEM). @default none */
  ssl_cafile?: string;
  /** Directory of authorities. @default none */
  ssl_capath?: string;
  /** Longest chain of a client certificate. @default 0 (OpenSSL's) */
  ssl_verify_depth?: number;
}

export const TLS_PORT_ROWS = {
  ssl_cert_file: text(),
  ssl_key_file: text(),
  ssl_passphrase: text(),
  ssl_sni_certs: CERTIFICATES,
  ssl_protocols: whole({ max: I32_MAX, default: 0 }),
  ssl_ciphers: text({ default: 'EECDH+AESGCM:EDH+AESGCM:AES256+EECDH:AES256+EDH' }),
  ssl_prefer_server_ciphers: flag(true),
  ssl_ecdh_curve: text({ default: 'auto' }),
  ssl_dhparam: text(),
  ssl_verify_peer: flag(),
  ssl_allow_self_signed: flag(),
  ssl_client_cert_file: text(),
  ssl_cafile: text(),
  ssl_capath: text(),
  ssl_verify_depth: whole({ max: U8_MAX, default: 0 }),
} satisfies Rows<TlsPortKeys>;

/** null = not set. Paths are as they were given. */
export type TlsPortSlice = Omit<TlsConfig, 'applicationProtocols' | 'ticketKeys'>;

export function resolvePortTls(values: Checked<TlsPortKeys>): TlsPortSlice {
  const set = filled(TLS_PORT_ROWS, values);
  return {
    certFile: set.ssl_cert_file ?? null,
    keyFile: set.ssl_key_file ?? null,
    passphrase: set.ssl_passphrase ?? null,
    sniCertificates: resolveSniCertificates(set.ssl_sni_certs ?? {}),
    protocols: set.ssl_protocols,
    ciphers: set.ssl_ciphers,
    preferServerCiphers: set.ssl_prefer_server_ciphers,
    ecdhCurve: set.ssl_ecdh_curve,
    dhparam: set.ssl_dhparam ?? null,
    verifyPeer: set.ssl_verify_peer,
    allowSelfSigned: set.ssl_allow_self_signed,
    clientCertFile: set.ssl_client_cert_file ?? null,
    caFile: set.ssl_cafile ?? null,
    caPath: set.ssl_capath ?? null,
    verifyDepth: set.ssl_verify_depth,
  };
}

function resolveSniCertificates(
  certificates: Record<string, SniCertificate>,
): Map<string, { certFile: string; keyFile: string }> {
  const entries = Object.entries(certificates);
  return new Map(entries.map(([host, pair]) => [host, { certFile: pair.ssl_cert_file, keyFile: pair.ssl_key_file }]));
}

/** Files are read again after the process may have changed its directory. */
export function withAbsolutePaths(tls: TlsPortSlice, directory: string): TlsPortSlice {
  const absolute = (file: string | null): string | null => (file === null ? null : resolve(directory, file));
  return {
    ...tls,
    certFile: absolute(tls.certFile),
    keyFile: absolute(tls.keyFile),
    dhparam: absolute(tls.dhparam),
    clientCertFile: absolute(tls.clientCertFile),
    caFile: absolute(tls.caFile),
    caPath: absolute(tls.caPath),
    sniCertificates: new Map(
      [...tls.sniCertificates].map(([host, { certFile, keyFile }]) => [
        host,
        { certFile: resolve(directory, certFile), keyFile: resolve(directory, keyFile) },
      ]),
    ),
  };
}

const FILES = [
  'ssl_cert_file',
  'ssl_key_file',
  'ssl_dhparam',
  'ssl_client_cert_file',
  'ssl_cafile',
  'ssl_capath',
] as const;

/** The files that are named, each with the setting that names it. */
export function tlsFilesOf(values: Checked<TlsPortKeys>): [key: string, file: string][] {
  const files: [key: string, file: string][] = [];
  for (const key of FILES) {
    const file = values[key];
    if (file !== undefined) files.push([key, file]);
  }
  for (const pair of Object.values(values.ssl_sni_certs ?? {})) {
    files.push(['ssl_sni_certs', pair.ssl_cert_file], ['ssl_sni_certs', pair.ssl_key_file]);
  }
  return files;
}
