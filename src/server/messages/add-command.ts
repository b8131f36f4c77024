import { isFirst } from '../../process/life/this-process.ts';
import { type Script, warn } from '../state/script.ts';
import { type CommandCallback, checkCommand } from './command-table.ts';

export function addCommand(script: Script, name: string, types: number, callback: CommandCallback<object>): boolean {
  checkCommand(name, callback);
  const why = script.started ? `"${name}" comes after start()` : script.commands.add(name, types, callback);
  if (why === null) return true;
  // The same script runs in every process: what it does wrong before start() is told once.
  if (script.started || isFirst()) warn(script, `addCommand(): ${why}`);
  return false;
}
