// Node's `ws` delivering the same events, spoken to like send_loop.c.
//
//   node fanout_ws.js PORT prebuilt|send
//
// prebuilt: the frame is built once per event and written to every socket, which is the fastest
// way that `ws` has; send: `socket.send` per client, which is what people write.
const readline = require('node:readline');
const { Sender, WebSocketServer } = require('ws');

const [port, manner] = process.argv.slice(2);
const server = new WebSocketServer({
  host: '127.0.0.1', port: Number(port), perMessageDeflate: false, backlog: 4096,
});
let payload = '';

function deliver(number) {
  const text = Buffer.from(payload.replace('00000000', String(number).padStart(8, '0')));
  if (manner === 'send') {
    for (const client of server.clients) client.send(text, { binary: false });
    return;
  }
  const options = { fin: true, rsv1: false, opcode: 1, mask: false, readOnly: true };
  const frame = Buffer.concat(Sender.frame(text, options));
  for (const client of server.clients) client._socket.write(frame);
}

async function order(line) {
  if (line.startsWith('{')) {
    payload = line;
  } else {
    const [first, events, gap] = line.split(' ').map(Number);
    for (let event = 0; event < events; event += 1) {
      deliver(first + event);
      await new Promise((resolve) => setTimeout(resolve, gap / 1000));
    }
  }
  console.log('done');
}

server.on('listening', () => console.log('ready'));
readline.createInterface({ input: process.stdin })
  .on('line', order)
  .on('close', () => process.exit(0));
