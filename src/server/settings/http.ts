/** HTTP: known and checked, and without effect until there is a server for it. */
import {
  alias,
  type Checked,
  type Flag,
  filled,
  flag,
  I32_MAX,
  type Rows,
  type Size,
  STRING_MAP,
  STRINGS,
  size,
  text,
  U8_MAX,
  U32_MAX,
  unused,
  whole,
} from './row.ts';

/** PATH_MAX less its terminating zero. */
const PATH_BYTES_MAX = 4095;

const NO_HTTP = 'HTTP is not implemented yet; serve it with node:http';
const RAW_BYTES = 'HTTP is not implemented yet; unless packages end by eof or length, the port delivers raw bytes';

export interface HttpPortKeys {
  /**
   * Speak HTTP/1. @default false (true for Http.Server)
   * @deprecated No effect: HTTP is not implemented yet; unless packages end by eof or length, the port delivers raw bytes.
   */
  open_http_protocol?: Flag;
  /**
   * Speak HTTP/2 as well; turns open_http_protocol on. @default false
   * @deprecated No effect: HTTP is not implemented yet; unless packages end by eof or length, the port delivers raw bytes.
   */
  open_http2_protocol?: Flag;
}

export interface HttpKeys {
  /**
   * HTTP requests at a time in the whole server; more get 503. @default 4294967295
   * @deprecated No effect: HTTP is not implemented yet; serve it with node:http.
   */
  max_concurrency?: number;
  /**
   * HTTP requests at a time in one worker; more wait. @default max_concurrency
   * @deprecated No effect: HTTP is not implemented yet; serve it with node:http.
   */
  worker_max_concurrency?: number;
  /**
   * Fill `request.cookie`. @default true
   * @deprecated No effect: HTTP is not implemented yet; serve it with node:http.
   */
  http_parse_cookie?: Flag;
  /**
   * Fill `request.post` from url-encoded bodies. @default true
   * @deprecated No effect: HTTP is not implemented yet; serve it with node:http.
   */
  http_parse_post?: Flag;
  /**
   * Build nested `request.files` from names like `a[b]`. @default false
   * @deprecated No effect: HTTP is not implemented yet; serve it with node:http.
   */
  http_parse_files?: Flag;
  /**
   * Compress responses for clients that accept it. @default true
   * @deprecated No effect: HTTP is not implemented yet; serve it with node:http.
   */
  http_compression?: Flag;
  /**
   * Compression level; what it means depends on the method. @default 1
   * @deprecated No effect: HTTP is not implemented yet; serve it with node:http.
   */
  http_compression_level?: number;
  /**
   * The same as http_compression_level.
   * @deprecated No effect: HTTP is not implemented yet; serve it with node:http.
   */
  compression_level?: number;
  /**
   * The same as http_compression_level.
   * @deprecated No effect: HTTP is not implemented yet; serve it with node:http.
   */
  http_gzip_level?: number;
  /**
   * Bytes of the smallest body that is compressed. @default 20
   * @deprecated No effect: HTTP is not implemented yet; serve it with node:http.
   */
  http_compression_min_length?: Size;
  /**
   * The same as http_compression_min_length.
   * @deprecated No effect: HTTP is not implemented yet; serve it with node:http.
   */
  compression_min_length?: Size;
  /**
   * Compress only these Content-Types, compared letter by letter; turns http_compression on. @default all
   * @deprecated No effect: HTTP is not implemented yet; serve it with node:http.
   */
  http_compression_types?: string[];
  /**
   * The same as http_compression_types.
   * @deprecated No effect: HTTP is not implemented yet; serve it with node:http.
   */
  compression_types?: string[];
  /**
   * Directory for uploaded files, created when it is missing. @default '/tmp'
   * @deprecated No effect: HTTP is not implemented yet; serve it with node:http.
   */
  upload_tmp_dir?: string;
  /**
   * Bytes of the largest file of a body above package_max_length; 0 = such bodies get 413. @default 0
   * @deprecated No effect: HTTP is not implemented yet; serve it with node:http.
   */
  upload_max_filesize?: Size;
  /**
   * Serve files below document_root before workers see the request. @default false
   * @deprecated No effect: HTTP is not implemented yet; serve it with node:http.
   */
  enable_static_handler?: Flag;
  /**
   * Directory of those files. @default none
   * @deprecated No effect: HTTP is not implemented yet; serve it with node:http.
   */
  document_root?: string;
  /**
   * URL prefixes, each beginning with `/`, below which every file is served and a missing one is 404. @default none
   * @deprecated No effect: HTTP is not implemented yet; serve it with node:http.
   */
  static_handler_locations?: string[];
  /**
   * Answer with a listing for a directory. @default false
   * @deprecated No effect: HTTP is not implemented yet; serve it with node:http.
   */
  http_autoindex?: Flag;
  /**
   * Names to look for in a directory, first match wins. @default none
   * @deprecated No effect: HTTP is not implemented yet; serve it with node:http.
   */
  http_index_files?: string[];
  /**
   * Rewrites of static URLs: a prefix, or a regular expression between tildes, to its replacement. @default none
   * @deprecated No effect: HTTP is not implemented yet; serve it with node:http.
   */
  url_rewrite_rules?: Record<string, string>;
  /**
   * HTTP/2 SETTINGS_HEADER_TABLE_SIZE, in bytes. @default 4096
   * @deprecated No effect: HTTP is not implemented yet; serve it with node:http.
   */
  http2_header_table_size?: Size;
  /**
   * HTTP/2 SETTINGS_MAX_CONCURRENT_STREAMS; more are refused. @default 128
   * @deprecated No effect: HTTP is not implemented yet; serve it with node:http.
   */
  http2_max_concurrent_streams?: number;
  /**
   * HTTP/2 SETTINGS_INITIAL_WINDOW_SIZE, in bytes. @default 65535
   * @deprecated No effect: HTTP is not implemented yet; serve it with node:http.
   */
  http2_init_window_size?: Size;
  /**
   * HTTP/2 SETTINGS_MAX_FRAME_SIZE, in bytes. @default 16384
   * @deprecated No effect: HTTP is not implemented yet; serve it with node:http.
   */
  http2_max_frame_size?: Size;
  /**
   * HTTP/2 SETTINGS_MAX_HEADER_LIST_SIZE, in bytes. @default 4294967295
   * @deprecated No effect: HTTP is not implemented yet; serve it with node:http.
   */
  http2_max_header_list_size?: Size;
  /**
   * Header fields in one HTTP/2 request; more close the connection. @default 1000
   * @deprecated No effect: HTTP is not implemented yet; serve it with node:http.
   */
  http2_max_headers?: number;
}

export const HTTP_PORT_ROWS = {
  open_http_protocol: unused(flag(), RAW_BYTES),
  open_http2_protocol: unused(flag(), RAW_BYTES),
} satisfies Rows<HttpPortKeys>;

export const HTTP_ROWS = {
  max_concurrency: unused(whole({ min: 1, default: U32_MAX }), NO_HTTP),
  worker_max_concurrency: unused(whole({ min: 1 }), NO_HTTP),
  http_parse_cookie: unused(flag(true), NO_HTTP),
  http_parse_post: unused(flag(true), NO_HTTP),
  http_parse_files: unused(flag(), NO_HTTP),
  http_compression: unused(flag(true), NO_HTTP),
  http_compression_level: unused(whole({ max: U8_MAX, default: 1 }), NO_HTTP),
  compression_level: alias('http_compression_level'),
  http_gzip_level: alias('http_compression_level'),
  http_compression_min_length: unused(size({ outside: 'ignore-below', default: 20 }), NO_HTTP),
  compression_min_length: alias('http_compression_min_length'),
  http_compression_types: unused(STRINGS, NO_HTTP),
  compression_types: alias('http_compression_types'),
  upload_tmp_dir: unused(text({ default: '/tmp' }), NO_HTTP),
  upload_max_filesize: unused(size({ max: Number.MAX_SAFE_INTEGER, outside: 'ignore-below', default: 0 }), NO_HTTP),
  enable_static_handler: unused(flag(), NO_HTTP),
  document_root: unused(text({ bytesMax: PATH_BYTES_MAX }), NO_HTTP),
  static_handler_locations: unused(STRINGS, NO_HTTP),
  http_autoindex: unused(flag(), NO_HTTP),
  http_index_files: unused(STRINGS, NO_HTTP),
  url_rewrite_rules: unused(STRING_MAP, NO_HTTP),
  // RFC 9113 §6.5.2 bounds the window and the frame; a peer would end the connection over a value outside.
  http2_header_table_size: unused(size({ outside: 'ignore-below', default: 4096 }), NO_HTTP),
  http2_max_concurrent_streams: unused(whole({ outside: 'ignore-below', default: 128 }), NO_HTTP),
  http2_init_window_size: unused(size({ max: I32_MAX, outside: 'ignore-below', default: 65535 }), NO_HTTP),
  http2_max_frame_size: unused(size({ min: 16384, max: 16777215, outside: 'ignore-below', default: 16384 }), NO_HTTP),
  http2_max_header_list_size: unused(size({ outside: 'ignore-below', default: U32_MAX }), NO_HTTP),
  http2_max_headers: unused(whole({ min: 1, outside: 'ignore-below', default: 1000 }), NO_HTTP),
} satisfies Rows<HttpKeys>;

export interface HttpPortSlice {
  /** True exactly when the port may speak it, HTTP/2 and WebSocket beside HTTP/1. */
  openHttp: boolean;
  openHttp2: boolean;
}

export interface Http2Slice {
  headerTableSize: number;
  maxConcurrentStreams: number;
  initWindowSize: number;
  maxFrameSize: number;
  maxHeaderListSize: number;
  maxHeaders: number;
}

export interface HttpSlice {
  maxConcurrency: number;
  workerMaxConcurrency: number;
  httpParseCookie: boolean;
  httpParsePost: boolean;
  httpParseFiles: boolean;
  httpCompression: boolean;
  /** As given, 0 to 255: each compressor has a range of its own. */
  httpCompressionLevel: number;
  httpCompressionMinLength: number;
  /** null = all. */
  httpCompressionTypes: ReadonlySet<string> | null;
  uploadTmpDir: string;
  uploadMaxFilesize: number;
  enableStaticHandler: boolean;
  /** '' = none. */
  documentRoot: string;
  staticHandlerLocations: readonly string[];
  httpAutoindex: boolean;
  httpIndexFiles: readonly string[];
  /** Pattern and replacement, in the order given. */
  urlRewriteRules: readonly (readonly [string, string])[];
  http2: Http2Slice;
}

export function resolvePortHttp(values: Checked<HttpPortKeys>, openWebsocket: boolean): HttpPortSlice {
  const set = filled(HTTP_PORT_ROWS, values);
  const openHttp2 = set.open_http2_protocol;
  return { openHttp: openHttp2 || openWebsocket || set.open_http_protocol, openHttp2 };
}

export function resolveHttp(values: Checked<HttpKeys>, warnings: string[]): HttpSlice {
  const set = filled(HTTP_ROWS, values);
  const compressionTypes = (set.http_compression_types ?? []).filter((type) => type !== '');
  return {
    maxConcurrency: set.max_concurrency,
    workerMaxConcurrency: set.worker_max_concurrency ?? set.max_concurrency,
    httpParseCookie: set.http_parse_cookie,
    httpParsePost: set.http_parse_post,
    httpParseFiles: set.http_parse_files,
    httpCompression: compressionTypes.length > 0 || set.http_compression,
    httpCompressionLevel: set.http_compression_level,
    httpCompressionMinLength: set.http_compression_min_length,
    httpCompressionTypes: compressionTypes.length > 0 ? new Set(compressionTypes) : null,
    uploadTmpDir: set.upload_tmp_dir || HTTP_ROWS.upload_tmp_dir.default,
    uploadMaxFilesize: set.upload_max_filesize,
    enableStaticHandler: set.enable_static_handler,
    documentRoot: set.document_root ?? '',
    staticHandlerLocations: resolveLocations(set.static_handler_locations ?? [], warnings),
    httpAutoindex: set.http_autoindex,
    httpIndexFiles: (set.http_index_files ?? []).filter((name) => name !== ''),
    urlRewriteRules: Object.entries(set.url_rewrite_rules ?? {}),
    http2: {
      headerTableSize: set.http2_header_table_size,
      maxConcurrentStreams: set.http2_max_concurrent_streams,
      initWindowSize: set.http2_init_window_size,
      maxFrameSize: set.http2_max_frame_size,
      maxHeaderListSize: set.http2_max_header_list_size,
      maxHeaders: set.http2_max_headers,
    },
  };
}

function resolveLocations(locations: readonly string[], warnings: string[]): string[] {
  for (const location of locations) {
    if (location.startsWith('/')) continue;
    warnings.push(`static_handler_locations: "${location}" does not begin with "/" and is left out.`);
  }
  return locations.filter((location) => location.startsWith('/'));
}
