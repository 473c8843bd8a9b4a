// Speaks first, then gives back every message as it came; `end` has it close with a code and a reason.
'use strict';
const { WebSocketServer } = require('ws');

const server = new WebSocketServer({ port: 8080, handleProtocols: (offered) => (offered.has('chat.v2') ? 'chat.v2' : false) });
server.on('connection', (socket, request) => {
  socket.send(`welcome to ${request.url}`);
  socket.on('message', (data, binary) => {
    if (!binary && data.toString() === 'end') {
      socket.close(4001, 'as you wish');
    } else {
      socket.send(data, { binary });
    }
  });
});
