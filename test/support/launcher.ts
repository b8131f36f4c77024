/** A launcher that starts nothing: what master and manager ask of their children, without any. */
import type { ChildDescription } from '../../src/process/identity.ts';
import type { Child, ChildEnd, Launcher } from '../../src/process/life/launcher.ts';

export interface FakeChild {
  readonly description: ChildDescription;
  /** What it was asked: stop, kill. */
  readonly asked: string[];
  ended: boolean;
}

/** All its children have the pid of this process, as threads have. */
export class FakeLauncher implements Launcher {
  readonly children: FakeChild[] = [];
  /** The pids of children's children that were waited for. */
  readonly orphans: number[] = [];
  /** As long as it is true every start fails; how often one did. */
  refuses = false;
  refused = 0;
  private readonly ends = new Map<number, (end: ChildEnd) => void>();

  launch(description: ChildDescription, onEnd: (end: ChildEnd) => void): Child {
    if (this.refuses) {
      this.refused++;
      throw new Error('there are too many processes');
    }
    const child: FakeChild = { description, asked: [], ended: false };
    const { life } = description;
    this.children.push(child);
    this.ends.set(life, onEnd);
    return { life, pid: process.pid, stop: () => child.asked.push('stop'), kill: () => child.asked.push('kill') };
  }

  async orphanEnded(pid: number): Promise<void> {
    this.orphans.push(pid);
  }

  /** A child ends. */
  end(child: FakeChild, { exitCode = 0, signal = null, byStop = false }: Partial<ChildEnd> = {}): void {
    child.ended = true;
    this.ends.get(child.description.life)?.({ exitCode, signal, byStop });
  }

  /** All that had an id, the last one last; -1 for managers. */
  of(id: number): FakeChild[] {
    return this.children.filter(({ description }) => description.id === id);
  }

  last(id: number): FakeChild {
    const child = this.of(id).at(-1);
    if (child === undefined) throw new Error(`nothing was started with the id ${id}`);
    return child;
  }
}
