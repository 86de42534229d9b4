// Says what node (llhttp) reads.
'use strict';

const server = require('node:http').createServer((request, response) => {
  let length = 0;
  let digest = 0x811c9dc5;
  request.on('data', (chunk) => {
    length += chunk.length;
    for (const byte of chunk) digest = Math.imul(digest ^ byte, 0x01000193) >>> 0;
  });
  request.on('end', () => {
    const { method, url, headers } = request;
    const read = `${method} ${url} ${headers.host} ${length} ${digest.toString(16).padStart(8, '0')}`;
    response.writeHead(200, { 'x-read': read, 'content-length': 0 });
    response.end();
  });
});
server.listen(Number(process.argv[2]), '127.0.0.1');
