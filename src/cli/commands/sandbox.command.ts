/** `nimbus sandbox`: the offline Copernicus as one process, for clients of any kind. */
import { InvalidArgumentError, type Command } from 'commander';
import { createSandbox } from '../../sandbox/sandbox.js';
import { aborted } from '../composition.js';
import type { Runner } from '../context.js';
import { EXIT } from '../exit-codes.js';
import { portInUse } from '../local/ports.js';
import { table } from '../output/text.js';
import { removeReadyFile, writeReadyFile } from '../ready-file.js';

interface SandboxCommandOptions {
  host: string;
  port: number;
  downloadPort: number;
  controlPort: number;
  seed: number;
  products: number;
  scale: number;
  tokenLifetime: number;
  connections: number;
  bytesPerSecond?: number;
  readyFile?: string;
}

export function addSandbox(program: Command, run: Runner): void {
  program
    .command('sandbox')
    .description('an offline Copernicus that real clients cannot tell from the real one')
    .option('--host <address>', 'where to listen; the control port stays on loopback', '127.0.0.1')
    .option('--port <number>', 'catalogue and identity', toPort, 8100)
    .option('--download-port <number>', 'downloads, under another host name', toPort, 8101)
    .option('--control-port <number>', 'scripting of faults, and the ledger', toPort, 8102)
    .option('--seed <number>', 'the same seed makes the same catalogue and bytes', toNumber, 1)
    .option('--products <number>', 'size of the catalogue', toNumber, 4000)
    .option('--scale <factor>', 'size of products; 1 is as large as the real ones', toNumber, 1)
    .option('--token-lifetime <seconds>', 'of an access token', toNumber, 600)
    .option('--connections <number>', 'downloads at once of one account', toNumber, 4)
    .option(
      '--bytes-per-second <number>',
      'of each download (default: as fast as it goes)',
      toNumber,
    )
    .option('--ready-file <path>', 'a file that holds the addresses while it serves')
    .addHelpText(
      'after',
      `
Example:
  $ nimbus sandbox --scale 0.01 --bytes-per-second 5000000

Bytes are made while they are sent: a product of 2 GB costs no disk. Log in as sandbox with password sandbox.`,
    )
    .action(
      run<SandboxCommandOptions>(async ({ stop, json, print, printJson }, options) => {
        const sandbox = await start(options);
        const { baseUrl, downloadUrl, tokenUrl, controlUrl, username, password } = sandbox;
        const addresses = { baseUrl, downloadUrl, tokenUrl, controlUrl, username, password };
        if (options.readyFile) writeReadyFile(options.readyFile, addresses);
        if (json) printJson(addresses);
        else print(describe(addresses));
        await aborted(stop.signal);
        if (options.readyFile) removeReadyFile(options.readyFile);
        await sandbox.close();
        return EXIT.ok;
      }),
    );
}

async function start(options: SandboxCommandOptions) {
  const { bytesPerSecond } = options;
  try {
    return await createSandbox({
      host: options.host,
      ports: {
        catalogue: options.port,
        download: options.downloadPort,
        control: options.controlPort,
      },
      seed: options.seed,
      products: options.products,
      scale: options.scale,
      tokenLifetimeSeconds: options.tokenLifetime,
      connections: options.connections,
      ...(bytesPerSecond === undefined ? {} : { bytesPerSecond }),
    });
  } catch (error) {
    const { code, port } = error as { code?: string; port?: number };
    if (code !== 'EADDRINUSE' || port === undefined) throw error;
    const changedBy = '--port, --download-port and --control-port';
    throw portInUse({ wanted: port, what: 'the sandbox', changedBy });
  }
}

function describe(addresses: Record<string, string>): string {
  const variables: [string, string][] = [
    ['NIMBUS_COPERNICUS_BASE_URL', 'baseUrl'],
    ['NIMBUS_COPERNICUS_DOWNLOAD_URL', 'downloadUrl'],
    ['NIMBUS_COPERNICUS_TOKEN_URL', 'tokenUrl'],
    ['NIMBUS_COPERNICUS_USERNAME', 'username'],
    ['NIMBUS_COPERNICUS_PASSWORD', 'password'],
  ];
  const lines = variables.map(([variable, name]) => `  ${variable}=${addresses[name]}`);
  return [
    'The sandbox serves until Ctrl-C. For Nimbus:',
    ...lines,
    table([['Faults and ledger:', addresses['controlUrl'] ?? '']]),
  ].join('\n');
}

export function toNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < 0)
    throw new InvalidArgumentError('Not a positive number.');
  return value;
}

export function toPort(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new InvalidArgumentError('Not a port (1 to 65535, or 0 for any free one).');
  return port;
}
