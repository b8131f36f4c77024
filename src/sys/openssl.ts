/**
 * OpenSSL, the one that Node's own binary exports: patched with Node, and nothing more to install. Pointers travel as
 * plain numbers, as in libc.ts. Nothing is bound before the first TLS port asks, so a Node without these symbols still
 * serves plain ports.
 */
import koffi from 'koffi';

type N = number;
const PTR = 'int64';

// Macros of openssl/ssl.h and openssl/bio.h, which are calls of SSL_CTX_ctrl and BIO_ctrl.
export const SSL_CTRL_MODE = 33;
export const SSL_CTRL_SET_SESS_CACHE_MODE = 44;
const SSL_CTRL_SET_TLSEXT_SERVERNAME_CB = 53;
const SSL_CTRL_SET_TLSEXT_SERVERNAME_ARG = 54;
export const SSL_CTRL_SET_TLSEXT_TICKET_KEYS = 59;
export const SSL_CTRL_CHAIN_CERT = 89;
export const SSL_CTRL_SET_GROUPS_LIST = 92;
export const SSL_CTRL_SET_MIN_PROTO_VERSION = 123;
export const SSL_CTRL_SET_MAX_PROTO_VERSION = 124;
export const BIO_CTRL_RESET = 1;
export const BIO_C_SET_BUF_MEM_EOF_RETURN = 130;

export const SSL_MODE_RELEASE_BUFFERS = 0x10;
export const SSL_SESS_CACHE_OFF = 0;

export const SSL_OP_NO_TICKET = 1 << 14;
export const SSL_OP_NO_COMPRESSION = 1 << 17;
export const SSL_OP_CIPHER_SERVER_PREFERENCE = 1 << 22;
export const SSL_OP_NO_SSLv3 = 1 << 25;
export const SSL_OP_NO_TLSv1 = 1 << 26;
export const SSL_OP_NO_TLSv1_2 = 1 << 27;
export const SSL_OP_NO_TLSv1_1 = 1 << 28;
export const SSL_OP_NO_TLSv1_3 = 1 << 29;
export const SSL_OP_NO_RENEGOTIATION = 1 << 30;

export const TLS1_VERSION = 0x301;
export const TLS1_1_VERSION = 0x302;
export const TLS1_2_VERSION = 0x303;
export const TLS1_3_VERSION = 0x304;

export const SSL_VERIFY_NONE = 0;
export const SSL_VERIFY_PEER = 1;
export const SSL_VERIFY_FAIL_IF_NO_PEER_CERT = 2;

export const SSL_ERROR_WANT_READ = 2;
export const SSL_ERROR_ZERO_RETURN = 6;

const SSL_TLSEXT_ERR_OK = 0;
const SSL_TLSEXT_ERR_NOACK = 3;
const TLSEXT_NAMETYPE_host_name = 0;
const OPENSSL_NPN_NEGOTIATED = 1;

export const X509_V_OK = 0;
export const X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT = 18;

/** What SSL_CTRL_SET_TLSEXT_TICKET_KEYS takes: the keys' name (16), for HMAC (32), for AES (32). */
export const TICKET_KEY_BYTES = 80;

function bindAll() {
  const library = koffi.load(null);
  const bind = <T extends (...args: never[]) => unknown>(name: string, result: string, args: string[]): T =>
    library.func(name, result, args) as unknown as T;
  const one = (name: string): ((address: N) => N) => bind(name, PTR, [PTR]);
  const release = (name: string): ((address: N) => void) => bind(name, 'void', [PTR]);

  return {
    // Contexts.
    serverMethod: bind<() => N>('TLS_server_method', PTR, []),
    clientMethod: bind<() => N>('TLS_client_method', PTR, []),
    newContext: one('SSL_CTX_new'),
    freeContext: release('SSL_CTX_free'),
    contextControl: bind<(ctx: N, command: N, number: N, address: N) => N>('SSL_CTX_ctrl', 'int64', [
      PTR,
      'int',
      'int64',
      PTR,
    ]),
    contextControlBytes: bind<(ctx: N, command: N, number: N, bytes: Uint8Array) => N>('SSL_CTX_ctrl', 'int64', [
      PTR,
      'int',
      'int64',
      'void *',
    ]),
    contextControlText: bind<(ctx: N, command: N, number: N, text: string) => N>('SSL_CTX_ctrl', 'int64', [
      PTR,
      'int',
      'int64',
      'str',
    ]),
    contextCallback: bind<(ctx: N, command: N, callback: unknown) => N>('SSL_CTX_callback_ctrl', 'int64', [
      PTR,
      'int',
      'void *',
    ]),
    setOptions: bind<(ctx: N, options: N) => N>('SSL_CTX_set_options', 'uint64', [PTR, 'uint64']),
    setSecurityLevel: bind<(ctx: N, level: N) => void>('SSL_CTX_set_security_level', 'void', [PTR, 'int']),
    setCipherList: bind<(ctx: N, ciphers: string) => N>('SSL_CTX_set_cipher_list', 'int', [PTR, 'str']),
    useCertificate: bind<(ctx: N, x509: N) => N>('SSL_CTX_use_certificate', 'int', [PTR, PTR]),
    useKey: bind<(ctx: N, key: N) => N>('SSL_CTX_use_PrivateKey', 'int', [PTR, PTR]),
    checkKey: bind<(ctx: N) => N>('SSL_CTX_check_private_key', 'int', [PTR]),
    /** Takes the parameters over when it answers 1. */
    useDhParameters: bind<(ctx: N, key: N) => N>('SSL_CTX_set0_tmp_dh_pkey', 'int', [PTR, PTR]),
    setVerify: bind<(ctx: N, mode: N, callback: N) => void>('SSL_CTX_set_verify', 'void', [PTR, 'int', PTR]),
    setVerifyDepth: bind<(ctx: N, depth: N) => void>('SSL_CTX_set_verify_depth', 'void', [PTR, 'int']),
    setVerifyCallback: bind<(ctx: N, callback: N, argument: N) => void>('SSL_CTX_set_cert_verify_callback', 'void', [
      PTR,
      PTR,
      PTR,
    ]),
    loadVerifyLocations: bind<(ctx: N, file: string | null, directory: string | null) => N>(
      'SSL_CTX_load_verify_locations',
      'int',
      [PTR, 'str', 'str'],
    ),
    loadClientNames: bind<(file: string) => N>('SSL_load_client_CA_file', PTR, ['str']),
    /** Takes the list over. */
    setClientNames: bind<(ctx: N, names: N) => void>('SSL_CTX_set_client_CA_list', 'void', [PTR, PTR]),
    setSessionContext: bind<(ctx: N, id: Uint8Array, length: N) => N>('SSL_CTX_set_session_id_context', 'int', [
      PTR,
      'void *',
      'uint',
    ]),
    setProtocolCallback: bind<(ctx: N, callback: unknown, argument: N) => void>('SSL_CTX_set_alpn_select_cb', 'void', [
      PTR,
      'void *',
      PTR,
    ]),
    selectProtocol: bind<(out: N, outLength: N, server: N, serverLength: N, client: N, clientLength: N) => N>(
      'SSL_select_next_proto',
      'int',
      [PTR, PTR, PTR, 'uint', PTR, 'uint'],
    ),

    // Sessions.
    newSession: one('SSL_new'),
    freeSession: release('SSL_free'),
    /** Takes both over. */
    setBios: bind<(ssl: N, input: N, output: N) => void>('SSL_set_bio', 'void', [PTR, PTR, PTR]),
    setAcceptState: release('SSL_set_accept_state'),
    setConnectState: release('SSL_set_connect_state'),
    switchContext: bind<(ssl: N, ctx: N) => N>('SSL_set_SSL_CTX', PTR, [PTR, PTR]),
    serverName: bind<(ssl: N, type: N) => string | null>('SSL_get_servername', 'str', [PTR, 'int']),
    handshake: bind<(ssl: N) => N>('SSL_do_handshake', 'int', [PTR]),
    read: bind<(ssl: N, address: N, length: N) => N>('SSL_read', 'int', [PTR, PTR, 'int']),
    write: bind<(ssl: N, address: N, length: N) => N>('SSL_write', 'int', [PTR, PTR, 'int']),
    writeBytes: bind<(ssl: N, bytes: Uint8Array, length: N) => N>('SSL_write', 'int', [PTR, 'void *', 'int']),
    shutdown: bind<(ssl: N) => N>('SSL_shutdown', 'int', [PTR]),
    result: bind<(ssl: N, result: N) => N>('SSL_get_error', 'int', [PTR, 'int']),

    // Certificates.
    readCertificate: bind<(bio: N, into: N, callback: N, user: N) => N>('PEM_read_bio_X509', PTR, [PTR, PTR, PTR, PTR]),
    readKey: bind<(bio: N, into: N, callback: N, passphrase: string) => N>('PEM_read_bio_PrivateKey', PTR, [
      PTR,
      PTR,
      PTR,
      'str',
    ]),
    readParameters: bind<(bio: N, into: N) => N>('PEM_read_bio_Parameters', PTR, [PTR, PTR]),
    writeCertificate: bind<(bio: N, x509: N) => N>('PEM_write_bio_X509', 'int', [PTR, PTR]),
    freeCertificate: release('X509_free'),
    freeKey: release('EVP_PKEY_free'),
    /** A reference of the caller's own. */
    peerCertificate: one('SSL_get1_peer_certificate'),
    peerChain: one('SSL_get_peer_cert_chain'),
    certificateStore: one('SSL_CTX_get_cert_store'),
    newCheck: bind<() => N>('X509_STORE_CTX_new', PTR, []),
    freeCheck: release('X509_STORE_CTX_free'),
    beginCheck: bind<(check: N, store: N, x509: N, chain: N) => N>('X509_STORE_CTX_init', 'int', [PTR, PTR, PTR, PTR]),
    setCheckPurpose: bind<(check: N, name: string) => N>('X509_STORE_CTX_set_default', 'int', [PTR, 'str']),
    setCheckDepth: bind<(check: N, depth: N) => void>('X509_STORE_CTX_set_depth', 'void', [PTR, 'int']),
    check: bind<(check: N) => N>('X509_verify_cert', 'int', [PTR]),
    checkError: bind<(check: N) => N>('X509_STORE_CTX_get_error', 'int', [PTR]),
    /** A function that answers 1 and changes nothing when its second argument is the text "default". */
    acceptAll: Number(koffi.address(library.symbol('X509_STORE_CTX_set_default'))),

    // Memory as input and output.
    newBio: one('BIO_new'),
    memoryBio: bind<() => N>('BIO_s_mem', PTR, []),
    freeBio: bind<(bio: N) => N>('BIO_free', 'int', [PTR]),
    shareBio: bind<(bio: N) => N>('BIO_up_ref', 'int', [PTR]),
    readBio: bind<(bio: N, address: N, length: N) => N>('BIO_read', 'int', [PTR, PTR, 'int']),
    writeBio: bind<(bio: N, address: N, length: N) => N>('BIO_write', 'int', [PTR, PTR, 'int']),
    writeBioBytes: bind<(bio: N, bytes: Uint8Array, length: N) => N>('BIO_write', 'int', [PTR, 'void *', 'int']),
    bioControl: bind<(bio: N, command: N, number: N, address: N) => N>('BIO_ctrl', 'int64', [PTR, 'int', 'int64', PTR]),
    waitingIn: one('BIO_ctrl_pending'),

    // Errors: a queue of each thread's own.
    clearErrors: bind<() => void>('ERR_clear_error', 'void', []),
    lastError: bind<() => N>('ERR_peek_last_error', 'uint64', []),
    reason: bind<(error: N) => string | null>('ERR_reason_error_string', 'str', ['uint64']),
  };
}

export type OpenSsl = ReturnType<typeof bindAll>;

let bound: OpenSsl | null = null;

/** Throws, naming the symbol, where Node's binary does not export it. */
export function openssl(): OpenSsl {
  bound ??= bindAll();
  return bound;
}

// ---- callbacks ------------------------------------------------------------------------------------------------------

/** What a handshake asks. Called inside of handshake(), on the thread that called it; neither may throw. */
export interface HandshakeQuestions {
  /** The context for the host that the client asks for ('' when it names none), or 0 to keep the one it has. */
  contextFor(host: string): number;
  /** The protocols of ours, as ALPN writes them: each with its length in front, the best first. */
  readonly protocolsAddress: number;
  readonly protocolsLength: number;
}

/** By the number that the C side carries. The functions themselves are registered once in each thread. */
const asked = new Map<number, HandshakeQuestions>();
let registered: { servername: unknown; protocol: unknown } | null = null;

/** Lets the handshakes of a context ask. `id` is the caller's to choose, one for each that asks. */
export function answerHandshakes(context: number, id: number, questions: HandshakeQuestions): void {
  const lib = openssl();
  asked.set(id, questions);
  registered ??= {
    servername: koffi.register(
      (ssl: number, _alert: number, id: number) => chooseContext(ssl, id),
      koffi.pointer(koffi.proto('int TswooleServername(int64 ssl, int64 alert, int64 id)')),
    ),
    protocol: koffi.register(
      chooseProtocol,
      koffi.pointer(koffi.proto('int TswooleAlpn(int64 ssl, int64 out, int64 outlen, int64 in, uint inlen, int64 id)')),
    ),
  };
  lib.contextCallback(context, SSL_CTRL_SET_TLSEXT_SERVERNAME_CB, registered.servername);
  lib.contextControl(context, SSL_CTRL_SET_TLSEXT_SERVERNAME_ARG, 0, id);
  lib.setProtocolCallback(context, registered.protocol, id);
}

function chooseContext(ssl: number, id: number): number {
  const lib = openssl();
  const host = lib.serverName(ssl, TLSEXT_NAMETYPE_host_name);
  const context = asked.get(id)?.contextFor(host ?? '') ?? 0;
  if (context === 0) return SSL_TLSEXT_ERR_NOACK;
  return lib.switchContext(ssl, context) === 0 ? SSL_TLSEXT_ERR_NOACK : SSL_TLSEXT_ERR_OK;
}

/** What the client offers is not read here: OpenSSL compares, and points at the client's own bytes. */
function chooseProtocol(
  _ssl: number,
  out: number,
  outLength: number,
  offered: number,
  offeredLength: number,
  id: number,
): number {
  const ours = asked.get(id);
  if (ours === undefined || ours.protocolsLength === 0) return SSL_TLSEXT_ERR_NOACK;
  const { protocolsAddress, protocolsLength } = ours;
  const result = openssl().selectProtocol(out, outLength, protocolsAddress, protocolsLength, offered, offeredLength);
  return result === OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}
