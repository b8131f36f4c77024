/** A Node process that runs a TypeScript file and does nothing: stripping types alone loads a compiler. */
const interval: NodeJS.Timeout = setInterval(() => undefined, 1e9);
interval.ref();
