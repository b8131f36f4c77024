/** What is listened on, and what has come of it. */

export interface Address {
  /** An IP address, or the path of a Unix socket. */
  readonly host: string;
  readonly port: number;
  /** SWOOLE_SOCK_*, without SWOOLE_SSL. */
  readonly type: number;
  readonly ssl: boolean;
}

export interface Bound {
  /** -1 when it failed. */
  fd: number;
  port: number;
  /** 0 or an errno. */
  error: number;
  /** The file of a Unix socket, in the process that made it. */
  file?: SocketFile | null;
  /** Opened by systemd: it is never bound anew. */
  activated?: true;
}

/** A port that the script has asked for: the server's own, then one for each listen(). */
export interface ListenAttempt extends Address, Bound {
  readonly port: number;
  /** The port number as the script has asked for it: 0 may have become any. */
  readonly asked: number;
}

/** Which file is ours: another one may have taken its place meanwhile. */
export interface SocketFile {
  /** Absolute, because a daemon changes its directory. */
  path: string;
  device: number;
  inode: number;
}
