/** Certificates for servers of tests, made by `openssl` where there is one, and trusted by this process only. */
import { execFileSync, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';

export interface Identity {
  key: Buffer;
  cert: Buffer;
}

export const hasOpenssl = spawnSync('openssl', ['version']).status === 0;

/**
 * Signed by itself: good for those who take it for an authority.
 * @param names as in a subjectAltName: `DNS:localhost`, `IP:127.0.0.1`
 * @param days that it is valid; -1 = it expired yesterday
 */
export function certificateFor(names: string, days = 2): Identity {
  const scratch = mkdtempSync(join(tmpdir(), 'nimbus-cert-'));
  try {
    const openssl = (line: string) =>
      execFileSync('openssl', line.split(' '), { cwd: scratch, stdio: 'ignore' });
    writeFileSync(join(scratch, 'ext'), `subjectAltName=${names}\n`);
    // authorities are told apart by their names
    const name = `test-${randomUUID()}`;
    openssl(`req -new -newkey rsa:2048 -nodes -subj /CN=${name} -keyout key -out csr`);
    openssl(`x509 -req -in csr -signkey key -days ${days} -extfile ext -out cert`);
    return { key: readFileSync(join(scratch, 'key')), cert: readFileSync(join(scratch, 'cert')) };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Connections of this process take the certificate for an authority until the returned function is called. */
export function trust({ cert }: Identity): () => void {
  const { connect } = tls;
  tls.connect = ((options: tls.ConnectionOptions, ...rest: []) =>
    connect({ ...options, ca: cert }, ...rest)) as typeof tls.connect;
  return () => {
    tls.connect = connect;
  };
}
