// Talks with ws_server.js at the address it is told.
'use strict';
const assert = require('assert');
const { once } = require('events');
const { WebSocket } = require('ws');

async function main() {
  const socket = new WebSocket(process.argv[2], ['chat.v1', 'chat.v2'], { handshakeTimeout: 10000 });
  const messages = [];
  let wake = () => {};
  socket.on('message', (data, binary) => {
    messages.push({ data, binary });
    wake();
  });
  const next = async () => {
    while (messages.length === 0) {
      await new Promise((resolve) => { wake = resolve; });
    }
    return messages.shift();
  };
  await once(socket, 'open');
  assert.strictEqual(socket.protocol, 'chat.v2');
  assert.strictEqual((await next()).data.toString(), 'welcome to /chat');

  const large = Buffer.alloc(1_000_000, 'waypoint');
  for (const message of ['hello', '', 'ä€😀', large, Buffer.from([0, 255])]) {
    socket.send(message);
    const { data, binary } = await next();
    assert.strictEqual(binary, Buffer.isBuffer(message));
    assert.ok(data.equals(Buffer.from(message)), 'a message came back changed');
  }
  for (let number = 0; number < 500; number += 1) {
    socket.send(`${number}`);
  }
  for (let number = 0; number < 500; number += 1) {
    assert.strictEqual((await next()).data.toString(), `${number}`);
  }
  socket.ping('are you there');
  const [pong] = await once(socket, 'pong');
  assert.strictEqual(pong.toString(), 'are you there');

  const closed = once(socket, 'close');
  socket.send('end');
  const [code, reason] = await closed;
  assert.strictEqual(code, 4001);
  assert.strictEqual(reason.toString(), 'as you wish');
  console.log('all as it should be');
}

const patience = setTimeout(() => {
  console.error('no end in sight');
  process.exit(1);
}, 30000);
main().then(() => clearTimeout(patience), (error) => {
  console.error(error);
  process.exit(1);
});
