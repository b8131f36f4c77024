/**
 * An echo server over TLS: `node examples/tls.ts [port] [certificate] [key]`. Without a certificate it makes one that
 * signs itself, good for a try: `openssl s_client -connect 127.0.0.1:9443`.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Server, SWOOLE_PROCESS, SWOOLE_SOCK_TCP, SWOOLE_SSL } from 'tswoole';

const port = Number(process.argv[2] ?? 9443);
const certificate = process.argv[3] ?? join(tmpdir(), 'tswoole-example.crt');
const key = process.argv[4] ?? join(tmpdir(), 'tswoole-example.key');
// The script runs in every process: the first one makes the files, the others find them.
if (!existsSync(certificate) || !existsSync(key)) {
  const options = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '30'];
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  execFileSync('openssl', ['req', '-x509', ...options, ...names, '-keyout', key, '-out', certificate], {
    stdio: 'ignore',
  });
}

const server = new Server('127.0.0.1', port, SWOOLE_PROCESS, SWOOLE_SOCK_TCP | SWOOLE_SSL);
server.set({ worker_num: 2, ssl_cert_file: certificate, ssl_key_file: key });

server.on('start', () => {
  console.log(`Listening on 127.0.0.1:${server.port}`);
  console.log(`New certificates: replace the files, then kill -USR1 ${server.master_pid}. Nobody is disconnected.`);
});
// Only when the handshake is done: whoever fails there is never seen here.
server.on('connect', (_server, fd) => {
  console.log(`connection ${fd} is encrypted`);
});
server.on('receive', (server, fd, _reactorId, data) => {
  server.send(fd, `${server.ssl ? 'securely' : 'openly'}: ${data}`);
});

await server.start();
