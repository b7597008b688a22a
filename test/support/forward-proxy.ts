/** A small forward proxy on loopback: CONNECT to wherever it is told, and requests in absolute form. */
import { once } from 'node:events';
import net from 'node:net';
import { proxyFromEnvironment, type ProxyFor } from '../../src/transfer/http/proxy.js';

export interface ForwardProxyOptions {
  /** `user:password`; who does not bring them is answered with 407. */
  credentials?: string;
  /** What everybody is answered with. */
  refuses?: string;
}

export interface ForwardProxy {
  url: string;
  proxyFor: ProxyFor;
  /** First lines and fields of the first request on each connection, as they came. */
  heads: string[];
  tunnels: net.Socket[];
  close(): void;
}

export async function startForwardProxy(options: ForwardProxyOptions = {}): Promise<ForwardProxy> {
  const heads: string[] = [];
  const tunnels: net.Socket[] = [];
  const expected = `Basic ${Buffer.from(options.credentials ?? '').toString('base64')}`;
  const server = net.createServer((client) => {
    tunnels.push(client);
    client.on('error', () => undefined);
    client.once('data', (first) => {
      const head = first.toString('latin1').split('\r\n\r\n')[0]!;
      heads.push(head);
      const [line = ''] = head.split('\r\n');
      const isKnown = !options.credentials || head.includes(`proxy-authorization: ${expected}`);
      if (options.refuses !== undefined || !isKnown)
        return client.end(
          options.refuses ?? 'HTTP/1.1 407 Who are you\r\ncontent-length: 0\r\n\r\n',
        );
      const [method, target = ''] = line.split(' ');
      const { hostname, port } = new URL(method === 'CONNECT' ? `http://${target}` : target);
      const upstream = net.connect(Number(port), hostname, () => {
        if (method === 'CONNECT') client.write('HTTP/1.1 200 Connected\r\n\r\n');
        else upstream.write(first);
        client.pipe(upstream).pipe(client);
      });
      upstream.on('error', () => client.destroy());
      client.on('close', () => upstream.destroy());
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const [name = '', ...password] = (options.credentials ?? '').split(':');
  const user = name ? `${name}:${encodeURIComponent(password.join(':'))}@` : '';
  const { port } = server.address() as net.AddressInfo;
  const url = `http://${user}127.0.0.1:${port}`;
  return {
    url,
    proxyFor: proxyFromEnvironment({ all_proxy: url }),
    heads,
    tunnels,
    close() {
      for (const tunnel of tunnels) tunnel.destroy();
      server.close();
    },
  };
}
