/** What all processes of a server with TLS must agree on. The first process decides, the others are told. */
export interface TlsBasis {
  /** What relative paths of files begin with: where the script was started. */
  directory: string;
  /** Base 64. */
  ticketKeys: string;
}
