/** Tells what keeps the process that the user has started, when the server in it has ended. */
import { SWOOLE_LOG_NOTICE } from '../../constants.ts';
import { isNewest } from '../state/new-script.ts';
import type { Plan } from '../state/plan.ts';

const PATIENCE_MS = 3000;

/** A program may have more to do; but a handle that was forgotten looks like a server that does not end. */
export function tellWhatLingers({ script, settings }: Plan): void {
  const tell = (): void => {
    const all = process.getActiveResourcesInfo();
    // A terminal is listed also where nobody reads from it.
    const others = all.filter((name) => name !== 'TTYWrap');
    const resources = others.length > 0 ? others : all;
    // A server that was made meanwhile is what goes on.
    if (resources.length === 0 || !isNewest(script)) return;
    const { logger } = script;
    logger.configure(settings.log);
    logger.log(SWOOLE_LOG_NOTICE, `the server has ended, and this process goes on: ${inWords(resources)}`);
    logger.close();
  };
  setTimeout(tell, PATIENCE_MS).unref();
}

/** `FSEventWrap, 2 × Timeout: close what is open …` */
function inWords(resources: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const name of resources) counts.set(name, (counts.get(name) ?? 0) + 1);
  const names = [...counts].map(([name, count]) => (count === 1 ? name : `${count} × ${name}`));
  return `${names.join(', ')} ${resources.length === 1 ? 'keeps' : 'keep'} it (process.getActiveResourcesInfo()); close it, unref() it, or call process.exit()`;
}
