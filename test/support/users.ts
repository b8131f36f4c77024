import type { TestServer } from './server.ts';

/** The pid of the user process of this id, once it has reported `user`; `than`: of one that came after that. */
export async function userPid(server: TestServer, id: number, than = 0): Promise<number> {
  const latest = (): number => server.events('user').findLast((event) => event.id === id)?.pid ?? than;
  await server.until(() => latest() !== than, `user process ${id}`);
  return latest();
}
