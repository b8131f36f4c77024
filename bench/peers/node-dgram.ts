/** The UDP echo server that a Node user writes today: one process, `node:dgram`. */
import { createSocket } from 'node:dgram';

const socket = createSocket('udp4');
socket.on('message', (data, { address, port }) => socket.send(data, port, address));
socket.bind(0, '127.0.0.1', () => {
  console.log(`listening ${socket.address().port}`);
});
