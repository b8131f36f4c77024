/**
 * What has a field with this value cannot be serialized, at whatever depth: what belongs to a server would arrive in
 * another process as an empty object.
 */
export const STAYS = Symbol('what belongs to a server');
