/** The certificates of clients, in the process that their connect events came to. */
export class Certificates {
  /** By slot, so that those whose close event went elsewhere give way to the next connection there. */
  private readonly bySlot = new Map<number, { serial: number; certificate: string }>();

  keep(slot: number, serial: number, certificate: string): void {
    this.bySlot.set(slot, { serial, certificate });
  }

  /** As PEM; undefined where the connection has none. */
  of(slot: number, serial: number): string | undefined {
    const held = this.bySlot.get(slot);
    return held?.serial === serial ? held.certificate : undefined;
  }

  forget(slot: number): void {
    this.bySlot.delete(slot);
  }
}
