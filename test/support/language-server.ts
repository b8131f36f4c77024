/** What an editor asks TypeScript: one process of it, and the answers. */
import { type ChildProcess, spawn } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { within } from './until.ts';

const HEAD_END = '\r\n\r\n';

interface Message {
  id?: number;
  method?: string;
  params?: { items?: unknown[] };
  result?: unknown;
}

export class LanguageServer {
  private readonly child: ChildProcess;
  private readonly waiting = new Map<number, (result: unknown) => void>();
  private unread: Buffer = Buffer.alloc(0);
  private count = 0;

  private constructor(tsc: string, cwd: string) {
    this.child = spawn(process.execPath, [tsc, '--lsp', '--stdio'], { cwd, stdio: ['pipe', 'pipe', 'ignore'] });
    this.child.stdout?.on('data', (data: Buffer) => this.read(data));
  }

  static async start(tsc: string, cwd: string): Promise<LanguageServer> {
    const server = new LanguageServer(tsc, cwd);
    await server.ask('initialize', { processId: process.pid, rootUri: pathToFileURL(cwd).href, capabilities: {} });
    server.tell('initialized', {});
    return server;
  }

  /** The labels that an editor offers where the text has a bar: `server.on('|'`. */
  async completions(path: string, textWithBar: string): Promise<string[]> {
    const uri = pathToFileURL(path).href;
    const [before, after] = textWithBar.split('|');
    const version = ++this.count;
    this.tell('textDocument/didOpen', {
      textDocument: { uri, languageId: 'typescript', version, text: before + after },
    });
    const lines = before.split('\n');
    const position = { line: lines.length - 1, character: lines[lines.length - 1].length };
    const answer = await this.ask('textDocument/completion', { textDocument: { uri }, position });
    this.tell('textDocument/didClose', { textDocument: { uri } });
    return ((answer as { items?: { label: string }[] } | null)?.items ?? []).map(({ label }) => label);
  }

  [Symbol.dispose](): void {
    this.child.kill();
  }

  private ask(method: string, params: unknown): Promise<unknown> {
    const id = ++this.count;
    const answer = new Promise<unknown>((resolve) => this.waiting.set(id, resolve));
    this.send({ id, method, params });
    return within(answer, `the answer of the language server to ${method}`);
  }
  private tell(method: string, params: unknown): void {
    this.send({ method, params });
  }
  private send(message: object): void {
    const text = JSON.stringify({ jsonrpc: '2.0', ...message });
    this.child.stdin?.write(`Content-Length: ${Buffer.byteLength(text)}${HEAD_END}${text}`);
  }

  private read(data: Buffer): void {
    this.unread = Buffer.concat([this.unread, data]);
    for (;;) {
      const headEnd = this.unread.indexOf(HEAD_END);
      if (headEnd === -1) return;
      const begin = headEnd + HEAD_END.length;
      const length = Number(/Content-Length: (\d+)/i.exec(this.unread.toString('latin1', 0, headEnd))?.[1]);
      if (this.unread.length < begin + length) return;
      this.take(JSON.parse(this.unread.toString('utf8', begin, begin + length)) as Message);
      this.unread = this.unread.subarray(begin + length);
    }
  }

  private take({ id, method, params, result }: Message): void {
    if (id === undefined) return;
    if (method === undefined) this.waiting.get(id)?.(result);
    // It asks too, for the editor's settings for instance: there are none.
    else this.send({ id, result: params?.items?.map(() => null) ?? null });
  }
}
