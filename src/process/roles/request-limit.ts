/** After how many requests a process ends: the same limit for all would end all at once, so each adds a random part. */
export function requestLimit(maxRequest: number, grace: number): number {
  if (maxRequest === 0) return -1;
  return maxRequest + (grace > 0 ? 1 + Math.floor(Math.random() * grace) : 0);
}
