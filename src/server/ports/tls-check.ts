import { SWOOLE_LOG_ERROR } from '../../constants.ts';
import { TswooleError } from '../../errors.ts';
import { TlsConfigError, TlsContexts } from '../../reactor/tls-context.ts';
import type { Plan } from '../state/plan.ts';
import { tlsConfig } from './tls.ts';

/**
 * Loads the certificates of all TLS ports as reactors will, and forgets them: what is wrong shows here, in the first
 * process, and not in others again and again. Throws a TswooleError.
 */
export function checkCertificates({ script, portSettings, tls }: Plan): void {
  script.ports.forEach((port, index) => {
    if (!port.ssl || tls === null) return;
    const { ssl } = portSettings[index];
    const which = `the TLS port ${port.host}:${port.port}`;
    const complete = ssl.certFile !== null && ssl.keyFile !== null;
    const onlySni = ssl.certFile === null && ssl.keyFile === null && ssl.sniCertificates.size > 0;
    if (!complete && !onlySni) {
      const key = ssl.certFile === null ? 'ssl_cert_file' : 'ssl_key_file';
      throw failure(key, `${which} needs both ssl_cert_file and ssl_key_file: ${key} is not set`);
    }
    if (ssl.verifyPeer && ssl.clientCertFile === null && ssl.caFile === null && ssl.caPath === null) {
      throw failure(
        'ssl_verify_peer',
        `${which} is to verify clients (ssl_verify_peer), but nothing says whom to trust: set ssl_client_cert_file, ssl_cafile or ssl_capath`,
      );
    }
    try {
      new TlsContexts(tlsConfig(ssl, tls), index).close();
    } catch (error) {
      if (!(error instanceof TlsConfigError)) throw error;
      throw failure(error.setting, `${which}: ${error.message}`, error);
    }
  });
}

/** Before a reload in SWOOLE_BASE: new workers could not start with certificates that are not in order. */
export function areCertificatesInOrder(plan: Plan): boolean {
  try {
    checkCertificates(plan);
    return true;
  } catch (error) {
    plan.script.logger.log(SWOOLE_LOG_ERROR, `no reload, everything stays as it is: ${(error as Error).message}`);
    return false;
  }
}

function failure(key: string, message: string, cause?: unknown): TswooleError {
  return new TswooleError('ERR_SETTING_VALUE', message, { key, cause });
}
