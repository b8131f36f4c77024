/** What TypeScript and editors say to a program: what compiles, the one error of what does not, and what `on` is offered. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { CORE_EVENTS } from '../../src/server/callbacks/event-rows.ts';
import { LanguageServer } from '../support/language-server.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const TSC = join(ROOT, 'node_modules/typescript/bin/tsc');

const HEAD = `
import type { ConnectionEvent, Events, Packet, PipeMessage, Port, ServerEvents, StatusInfo, TaskResult } from 'tswoole';
import { IPPROTO_IP, MCAST_JOIN_GROUP, SO_REUSEADDR, SOL_SOCKET, Server, swoole_set_process_name, SWOOLE_SOCK_UDP, socket_set_option, Task, Timer } from 'tswoole';
import { Server as Base } from '../../src/index.ts';
import { QuestionServer } from '../../test/support/question-server.ts';
declare const server: Server;
declare const port: Port;
declare const questions: QuestionServer;
declare const name: string;
class Shop {
  onReceive(server: Server, fd: number, reactorId: number, data: Buffer) { server.send(fd, data.subarray(reactorId)); }
  sold(server: Server, id: number, price: number) { server.send(id, price.toFixed()); }
  show(server: Server, data: string) { return data + server.port; }
  tick(id: number, text: string) { return text + id; }
  static onStart(server: Server) { return server.port; }
  readonly price = 1;
}
declare const shop: Shop;
`;

const RIGHT = `
// Parameters have their types, in any case of the name.
server.on('receive', (server, fd, reactorId, data) => server.send(fd, data.subarray(reactorId)));
server.on('Receive', async (server, fd, reactorId, data) => { server.send(fd, data.subarray(reactorId)); });
server.on('RECEIVE', function (server, fd) { server.send(fd, ''); });
server.on('workerStart', (server: object, id) => id.toFixed());
server.on('packet', (server, data, { address, port }) => server.sendto(address, port, data));
server.on('finish', (server, id, words: string[]) => words.join());
server.on('task', (server, id, from, data: { text: string }) => data.text);
server.on('pipeMessage', (server, from, message: string) => message.length);
const onStart: ServerEvents['start'] = (server) => server.port;
server.on('start', onStart);
server.on('bufferFull', console.log);
// One object in place of single arguments.
server.on('receive', (server, event: ConnectionEvent<Buffer>) => server.send(event.fd, event.data));
server.on('CONNECT', (server, event: ConnectionEvent<null>) => server.close(event.fd));
server.on('close', (server, event: ConnectionEvent) => event.fd.toFixed());
server.on('packet', (server, packet: Packet) => server.sendto(packet.address, packet.port, packet.data));
server.on('task', async (server, task: Task) => task.finish(1));
server.on('finish', (server, result: TaskResult) => server.send(result.task_id, ''));
server.on('pipeMessage', (server, message: PipeMessage) => message.data);
server.on('workerError', (server, info: StatusInfo) => info.exit_code.toFixed());
// Names that are known when the program runs: the callback says what it gets.
server.on(name, () => {});
server.on(name, (server: Server, fd: number) => server.send(fd, ''));
for (const each of ['connect', 'close']) server.on(each, (_server: unknown, fd: number) => fd);
for (const each of ['connect', 'close'] as const) server.on(each, (server, fd) => server.close(fd));
server.on(name === '' ? 'start' : 'managerStart', async (server) => server.port);
const on = server.on.bind(server) as (event: string, callback: unknown) => boolean;
// Ports.
port.on('receive', (server, fd, reactorId, data) => server.send(fd, data.subarray(reactorId)));
port.on('ReceivE', (server, event: ConnectionEvent<Buffer>) => server.send(event.fd, event.data));
port.on(name, () => {});
// A class of the user's gets itself, inside and outside.
class Chat extends Server {
  readonly users: string[] = [];
  constructor() {
    super('::1');
    this.on('connect', (chat, fd) => chat.users.push(String(fd)));
    this.on('TASK', (chat, task: Task) => chat.users[task.id]);
    this.on(name, () => {});
    const port = this.listen('::1', 0, 1);
    if (port !== false) port.on('close', (chat, fd) => chat.users[fd]);
  }
}
new Chat().on('receive', (chat, fd, reactorId, data) => chat.users.push(data.toString()));
const asServer: Server = new Chat();
const asPort: Port = new Chat().ports[0];
function grow<Kind extends Chat>(chat: Kind): void {
  chat.on('close', (same, fd) => { same satisfies Kind; fd.toFixed(); });
}
// One with events of its own too, and one that extends that.
questions.on('question', (server, { text }, fd) => server.asked[fd] === text);
questions.on('QUESTION', (server) => server.asked);
questions.on('silence', (server) => server.asked);
questions.on('receive', (server, fd, reactorId, data) => server.asked.push(data.toString()));
questions.on('receive', (server, event: { fd: number }) => server.asked[event.fd]);
questions.on(name, () => {});
const further = questions.listen('::1', 0, 1);
if (further !== false) {
  further.on('Question', (server, { text }, fd) => server.asked[fd] === text);
  further.on('close', (server, fd) => server.asked[fd]);
}
const asBase: Base = questions;
class Quiz extends QuestionServer { points = 0; }
new Quiz('::1').on('question', (quiz, { text }) => { quiz.points = text.length; });
const asQuestions: QuestionServer = new Quiz('::1');
// An object with the name of its method, or a class.
server.on('receive', [shop, 'onReceive']);
server.on('Receive', [shop, 'onReceive']);
server.on('start', [Shop, 'onStart']);
port.on('receive', [shop, 'onReceive']);
server.task('a', -1, [shop, 'sold']);
server.addCommand('show', 1, [shop, 'show']);
server.tick(1000, [shop, 'tick'], 'text');
Timer.tick(1000, [shop, 'tick'], 'text');
// What is left out, or null.
new Server();
new Server(null, null, null, null);
server.listen('::1', 0);
server.addListener('::1', 0, null);
server.task('a', null, null);
server.reload(null);
server.stop(null, null);
server.getClientInfo(1, null, true);
server.getWorkerPid(null);
// What settings and counters are once the server runs.
const workers: number = server.setting.worker_num + server.setting.task_worker_num + server.setting.max_conn;
const backlog: number | undefined = server.setting.backlog;
const accepted: number = server.stats().accept_count;
// The type of a result is what the callback names, or what is asked for.
server.task('a', -1, (server, id, result: string[] | false) => result !== false && result.join());
server.task('a', -1, (server, id, words: string[]) => words.join());
server.task<number>('a', -1, (server, id, count) => count !== false && count.toFixed());
server.task('a', -1, async (server, id, result) => result === 1);
const text: Promise<string | false> = server.command('show', 0, 1, {}, false);
const answer: Promise<{ a: number } | false> = server.command<{ a: number }>('show', 0, 1, {});
server.command('show', 0, 1, {}, name === '').then((answer) => answer === 1);
// Ids are numbers, paths are text.
server.send(1, 'a');
server.send('/run/a.sock', 'a');
server.send(name, 'a', null);
server.on('packet', (server, data, from) => server.send(from.address, data, from.server_socket));
server.on('packet', (server, data, from) => server.sendto(from.address, from.port, data));
const status: number | undefined = (server.getClientInfo(1) || null)?.websocket_status;
// As PHP has it.
const socket = new Server(null, 9905, null, SWOOLE_SOCK_UDP).getSocket();
socket_set_option(socket, IPPROTO_IP, MCAST_JOIN_GROUP, { group: '224.10.20.30', interface: 'eth0' });
socket !== false && socket.setOption(SOL_SOCKET, SO_REUSEADDR, 1);
const named: boolean = swoole_set_process_name('shop: master');
`;

/** A line, where in it the only error is, and what that says. */
const WRONG: [line: string, at: string, says: RegExp][] = [
  [
    `server.on('recieve', (server, fd, id, data) => server.send(fd, data.subarray(id)));`,
    `'recieve'`,
    /mean receive\?/,
  ],
  [`server.on('recieve', (server) => server.port);`, `'recieve'`, /did you mean receive\?/],
  [`server.on('recieve', (server, event: ConnectionEvent) => event.fd);`, `'recieve'`, /did you mean receive\?/],
  [`server.on('recv', function (server, fd) { server.close(fd); });`, `'recv'`, /"afterReload" \| "before/],
  [`server.on('Conect', (server, fd) => server.close(fd));`, `'Conect'`, /did you mean connect\?/],
  [`server.on('workerstrat', (server, id) => id.toFixed());`, `'workerstrat'`, /did you mean workerStart\?/],
  [`server.on('workerStrt', (server, id) => id.toFixed());`, `'workerStrt'`, /did you mean workerStart\?/],
  [`server.on('onReceive', (server, fd, id, data) => data.length);`, `'onReceive'`, /did you mean receive\?/],
  [`server.on('tasks', (server, id, from, data) => data);`, `'tasks'`, /did you mean task\?/],
  [`server.on('nonsense', (server, what) => server.send(what, what));`, `'nonsense'`, /"afterReload" \| "before/],
  [`server.on('', () => {});`, `''`, /"afterReload" \| "before/],
  [`server.on('receive', (server, fd: string) => fd);`, `(server, fd`, /fd: number, reactorId: number, data: Buffer/],
  [`server.on('receive', (server, task: Task) => task.id);`, `(server, task`, /from type 'Task'/],
  [`server.on('receive', 'strlen');`, `'strlen'`, /'string' is not assignable/],
  [`server.on('receive');`, 'on', /Expected 2 arguments/],
  [`server.on(name, 1);`, '1', /'number' is not assignable/],
  [`port.on('recieve', (server, fd) => server.close(fd));`, `'recieve'`, /did you mean receive\?/],
  [`port.on('start', (server) => server);`, `'start'`, /"bufferEmpty" \| .*"packet" \| "receive"'/],
  [`questions.on('quesiton', (server, { text }) => server.asked.push(text));`, `'quesiton'`, /did you mean question\?/],
  [
    `further !== false && further.on('quesiton', (server, { text }) => server.asked.push(text));`,
    `'quesiton'`,
    /mean question\?/,
  ],
  [`questions.on('recieve', (server, fd) => server.asked[fd]);`, `'recieve'`, /did you mean receive\?/],
  [
    `questions.on('start', (server: string) => server);`,
    `(server: str`,
    /'QuestionServer' is not assignable to type 'string'/,
  ],
  [`server.on('question', (server) => server.port);`, `'question'`, /"afterReload" \| "before/],
  [`server.on('receive', [shop, 'price']);`, 'shop', /'Shop' is not assignable/],
  [`server.on('receive', [shop, 'missing']);`, 'shop', /'missing' is missing/],
  [`server.on('recieve', [shop, 'onReceive']);`, `'recieve'`, /did you mean receive\?/],
  [`server.send('1', 'a');`, `'1'`, /'string' is not assignable to parameter of type 'number'/],
  [`server.close('1');`, `'1'`, /'string' is not assignable to parameter of type 'number'/],
  [`const never = server.stats() === false;`, 'server', /no overlap/],
  [`server.on('packet', (server, data, from) => from.port.toFixed());`, 'from.port', /possibly 'undefined'/],
  [`server.setting.backlog.toFixed();`, 'server.setting.backlog', /possibly 'undefined'/],
  [
    `const wrong: Promise<number | false> = server.command('show', 0, 1, {}, false);`,
    'wrong',
    /Promise<string \| false>/,
  ],
];

// Where the compiler finds the packages of the project, and nobody else looks for files.
const folder = mkdtempSync(join(ROOT, 'dist', '.types-'));
const file = join(folder, 'program.ts');

before(() => {
  const compilerOptions = { noUnusedLocals: false, noUnusedParameters: false };
  const config = { extends: '../../tsconfig.json', compilerOptions, include: ['*.ts'] };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
  writeFileSync(file, `${HEAD}${RIGHT}${WRONG.map(([line]) => line).join('\n')}\n`);
});
after(() => rmSync(folder, { recursive: true }));

/** The errors by line, from 1: where in the line, and the text. */
async function compile(): Promise<Map<number, [column: number, text: string][]>> {
  const output = await new Promise<string>((resolve) => {
    execFile(process.execPath, [TSC, '-p', folder, '--pretty', 'false'], { cwd: folder }, (_, stdout) =>
      resolve(stdout),
    );
  });
  const errors = new Map<number, [number, string][]>();
  for (const each of output.trimEnd().split(/\n(?! )/)) {
    if (each === '') continue;
    const [, line, column, text] = /^program\.ts\((\d+),(\d+)\): error ([\s\S]*)$/.exec(each) ?? assert.fail(output);
    errors.set(Number(line), [...(errors.get(Number(line)) ?? []), [Number(column), text]]);
  }
  return errors;
}

test('what is right compiles; what is wrong is one error, at its place, which says what was meant', async () => {
  const errors = await compile();
  const first = `${HEAD}${RIGHT}`.split('\n').length;
  const right = [...errors].filter(([line]) => line < first);
  assert.deepEqual(right, [], 'what is right');
  for (const [index, [line, at, says]] of WRONG.entries()) {
    const found = errors.get(first + index) ?? [];
    const told = found.map(([column, text]) => `${column}: ${text}`).join('\n');
    assert.equal(found.length, 1, `${line}\n${told}`);
    assert.equal(found[0][0], line.indexOf(at) + 1, `${line}\n${told}`);
    assert.match(found[0][1], says, line);
  }
});

test('an editor offers every event, whatever stands there already', async () => {
  using editor = await LanguageServer.start(TSC, folder);
  const all = Object.keys(CORE_EVENTS).sort();
  const ofPort = all.filter((name) => CORE_EVENTS[name as keyof typeof CORE_EVENTS].of === 'port');
  for (const [line, wanted] of [
    [`server.on('|`, all],
    [`server.on('|')`, all],
    [`server.on("|", (server, fd) => server.close(fd));`, all],
    [`server.on('rec|', () => {});`, all],
    [`server.on('workerStart|', (server, id) => server.stop(id));`, all],
    [`port.on('|', () => {});`, ofPort],
    [`questions.on('|', () => {});`, [...all, 'question', 'silence'].sort()],
  ] as const)
    assert.deepEqual((await editor.completions(file, HEAD + line)).sort(), wanted, line);
});
