/** What the commands of the product are handed besides a terminal: the configuration and the API, both lazily. */
import { readConfig, type Config } from '../config.js';
import { createApiClient, type ApiClient } from './client/api-client.js';
import type { Environment } from './local/cache.js';
import { loopbackOf } from './local/ports.js';
import type { GlobalOptions, RunnerOf, Terminal } from './terminal.js';

export interface CliContext extends Terminal {
  /** @throws ConfigError */
  config(env?: Environment): Config;
  /** @throws ConfigError */
  api(): ApiClient;
}

export type Runner = RunnerOf<CliContext>;

export function toCliContext(terminal: Terminal, options: GlobalOptions): CliContext {
  const { env } = terminal;
  const config = (over: Environment = env): Config => readConfig(over);
  return {
    ...terminal,
    config,
    api: () => createApiClient(apiAddress(config(), env, options.apiUrl)),
  };
}

function apiAddress({ api }: Config, env: Environment, given: string | undefined) {
  const own = `http://${loopbackOf(api.host)}:${api.port}`;
  return { baseUrl: given ?? (env['NIMBUS_SERVICE_URL'] || own), apiKey: api.key };
}
