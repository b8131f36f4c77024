/** How this process runs the script again, in another process: which script, with which options, and where. */
import { existsSync } from 'node:fs';

/** Where the script was started, once this process has gone elsewhere. */
let startDirectory: string | undefined;

/**
 * A daemon's own directory is the root, so that it holds no file system. Its children leave too, but only once they have
 * run the script: paths in that, and those of Node's own options (`--import ./x.ts`), are written for where it was started.
 */
export function leaveStartDirectory(): void {
  startDirectory = process.cwd();
  process.chdir('/');
}

/** Where a process begins that runs the script; undefined = here. One that is gone must not keep a server from replacing workers. */
export function childDirectory(): string | undefined {
  return startDirectory !== undefined && existsSync(startDirectory) ? startDirectory : undefined;
}

/** Node's own options are carried over; an inspector gets a port of its own, so much above ours. */
export function carriedOptions(inspectOffset: number): string[] {
  return process.execArgv.map((option) => {
    const inspect = /^(--inspect(?:-brk|-wait|-port)?|--debug-port)(?:=(.*))?$/.exec(option);
    if (inspect === null) return option;
    const [, name, where = ''] = inspect;
    // A port, a host, or both; an IPv6 host stands in brackets.
    const [, host, port] = /^\d+$/.test(where)
      ? ['', '', where]
      : (/^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(where) ?? []);
    const own = port === '0' ? 0 : Number(port ?? 9229) + inspectOffset;
    return `${name}=${host === undefined || host === '' ? '' : `${host}:`}${own}`;
  });
}

/** The script that children run. Throws when there is none that can be run again. */
export function scriptOf(entryScript: string | null): string {
  const script = entryScript ?? process.argv[1];
  const evaluated = process.execArgv.some((option) => /^(-e|-p|-pe|--eval|--print)(=|$)/.test(option));
  if (script === undefined || script === '-' || (entryScript === null && evaluated)) {
    throw new Error(
      'the server needs more than one process, and each runs your script again: put the code into a file (not -e or standard input), or name one with the setting entry_script',
    );
  }
  return script;
}
