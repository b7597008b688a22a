// Serves `/<bytes>/<any name>` from memory, with ranges; over TLS when it is sent an identity. Says its port.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { stretch } from './bytes.mjs';

const [{ identity }] = await once(process, 'message');
const server = identity ? createTlsServer(identity, answer) : createServer(answer);
server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }));
process.once('disconnect', () => process.exit());

function answer(request, response) {
  const size = Number(request.url.split('/')[1]);
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  let at = Number(range?.[1] ?? 0);
  const end = range?.[2] ? Math.min(size, Number(range[2]) + 1) : size;
  response.writeHead(range ? 206 : 200, {
    'content-length': end - at,
    etag: `"${size}"`,
    ...(range && { 'content-range': `bytes ${at}-${end - 1}/${size}` }),
  });
  const more = () => {
    while (at < end) {
      const part = stretch(at, end);
      at += part.length;
      if (!response.write(part)) return void response.once('drain', more);
    }
    response.end();
  };
  more();
}
