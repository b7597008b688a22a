/** The offline Copernicus as one process, until it is asked to stop. */
import { createSandbox } from '../../sandbox/sandbox.js';
import type { CliContext } from '../context.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { portInUse } from '../local/ports.js';
import { removeReadyFile, writeReadyFile } from '../ready-file.js';
import { aborted } from '../signals.js';

export interface SandboxCommandOptions {
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

export async function runSandbox(
  { stop, json, print, printJson }: CliContext,
  options: SandboxCommandOptions,
): Promise<ExitCode> {
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
    `Faults and ledger: ${addresses['controlUrl']}`,
  ].join('\n');
}
