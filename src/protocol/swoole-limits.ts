/**
 * Bytes of one message between two processes of Swoole (SW_IPC_BUFFER_SIZE: 8192, less a head of 40). Our messages have no
 * such limit, but users of Swoole know it from several places, where it holds here too: what a dispatch_func sees of a
 * package, when a package_length_func has seen enough, which tasks a message queue carries by file.
 */
export const SWOOLE_IPC_BYTES = 8152;
