/** What reload.ts says. Change it while the server runs. */
export const greeting = 'Hello';
