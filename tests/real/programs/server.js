// node's own HTTP server, and what a client has to wait for: an answer that comes when somebody else has spoken (long
// polling), events one at a time (server-sent events), leave to send a body (100-continue), and bodies of any size.
//
// usage: node server.js PORT
'use strict';
const http = require('node:http');

const polling = [];       // answers that wait for a word
const heard = new Map();  // how many events of a stream its reader has acknowledged, and whom to wake

function events(id, response) {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  let sent = 0;
  const next = () => {
    if (sent === 5) return response.end('event: end\ndata: 5\n\n');
    response.write(`id: ${sent}\ndata: ${sent}\n\n`);
    sent += 1;
  };
  // The next event is not sent before the one before it has been read.
  heard.set(id, next);
  next();
}

function zeros(left, response) {
  response.writeHead(200, { 'content-length': left });
  const piece = Buffer.alloc(65536);
  const more = () => {
    while (left > 0) {
      const now = left < piece.length ? piece.subarray(0, left) : piece;
      left -= now.length;
      if (!response.write(now)) return response.once('drain', more);
    }
    response.end();
  };
  more();
}

function count(request, response) {
  let bytes = 0;
  request.on('data', (piece) => { bytes += piece.length; });
  request.on('end', () => response.end(`${bytes}\n`));
}

function answer(request, response) {
  const url = new URL(request.url, 'http://server');
  const word = url.searchParams.get('word');
  switch (url.pathname) {
    case '/who': return response.end(`${request.headers['weft-client-id'] ?? 'nobody'}\n`);
    case '/count': return count(request, response);
    case '/zeros': return zeros(Number(word), response);
    case '/poll': return void polling.push(response);
    case '/polling': return response.end(`${polling.length}\n`);
    case '/tell':
      for (const waiting of polling.splice(0)) waiting.end(`${word}\n`);
      return response.end('told\n');
    case '/events': return events(word, response);
    case '/heard':
      heard.get(word)?.();
      return response.end();
    default:
      response.writeHead(404);
      response.end();
  }
}

const server = http.createServer(answer);
server.on('checkContinue', (request, response) => {
  if (request.url === '/refused') {
    response.writeHead(413, { connection: 'close' });
    return response.end('too large\n');
  }
  response.writeContinue();
  answer(request, response);
});
server.requestTimeout = 0;
server.listen(Number(process.argv[2]), '::');
