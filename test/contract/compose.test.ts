/**
 * docker-compose.yml and Dockerfile, as far as they can be judged without a Docker engine: the Compose specification's
 * own JSON schema, and that everything they name (files, commands, variables, volumes) is really there.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { createProgram } from '../../src/cli/main.js';
import { variables } from '../../src/config.js';

const SCHEMA_MODULE = 'github.com/compose-spec/compose-go/v2@v2.16.2';

interface Service {
  image: string;
  user?: string;
  container_name?: string;
  command?: string[];
  environment?: Record<string, string | number>;
  volumes?: string[];
  ports?: string[];
  networks: string[];
  configs?: { source: string; target: string }[];
  healthcheck?: { test: string[] };
  restart?: string;
  depends_on?: Record<string, { condition: string }>;
}
interface ComposeFile {
  services: Record<string, Service>;
  volumes: Record<string, unknown>;
  networks: Record<string, { internal?: boolean } | null>;
  configs: Record<string, { file: string }>;
}

const text = readFileSync('docker-compose.yml', 'utf8');
const compose = parse(text, { merge: true }) as ComposeFile;
const services = Object.entries(compose.services);
const ours = services.filter(([name]) => name.startsWith('nimbus-'));
const example = readFileSync('.env.example', 'utf8');
const dockerfile = readFileSync('Dockerfile', 'utf8');

/** Services that others wait for to complete: they have no health, only an end. */
const oneShots = new Set(
  services.flatMap(([, { depends_on = {} }]) =>
    Object.entries(depends_on)
      .filter(([, { condition }]) => condition === 'service_completed_successfully')
      .map(([name]) => name),
  ),
);
const noHealthCheck: Record<string, string> = {
  'nimbus-api': 'the image has it (see the Dockerfile below)',
  'temporal-ui': 'nothing waits for it, and its image promises no tool to ask it with',
};

describe('docker-compose.yml', () => {
  it('fits the schema of the Compose specification', ({ skip }) => {
    const schema = composeSchema();
    if (schema === null) return skip(`the Compose schema cannot be fetched (${SCHEMA_MODULE})`);
    const validate = new Ajv2020({ strict: false, validateFormats: false }).compile(schema);
    expect(validate(compose), JSON.stringify(validate.errors, null, 2)).toBe(true);
    expect(validate({ services: { broken: { imagee: 'x' } } })).toBe(false);
  });

  it.each(services)('gives %s a health check, an end, or a reason', (name, service) => {
    const reasons = [
      service.healthcheck && 'health check',
      oneShots.has(name) && 'one shot',
      noHealthCheck[name],
    ].filter(Boolean);
    expect(reasons).toHaveLength(1);
  });

  it.each(services)('pins the image of %s and starts it again when it dies', (name, service) => {
    expect(service.image).toMatch(/:\d+\.\d+(\.\d+)?$/);
    expect(service.restart).toBe(oneShots.has(name) ? 'on-failure:5' : 'unless-stopped');
  });

  it('declares every volume, network and config that is used, and no other', () => {
    const used = {
      volumes: services.flatMap(([, { volumes = [] }]) => volumes.map((it) => it.split(':')[0]!)),
      networks: services.flatMap(([, { networks }]) => networks),
      configs: services.flatMap(([, { configs = [] }]) => configs.map(({ source }) => source)),
    };
    for (const kind of ['volumes', 'networks', 'configs'] as const)
      expect([...new Set(used[kind])].sort()).toEqual(Object.keys(compose[kind]).sort());
  });

  it.each(Object.values(compose.configs))('has the file $file', ({ file }) => {
    expect(existsSync(file)).toBe(true);
    if (file.endsWith('.sh')) expect(spawnSync('sh', ['-n', file]).status).toBe(0);
  });

  it.each(ours)(
    'starts %s with a command that the command line has',
    async (_name, { command }) => {
      const [name, ...options] = command!;
      const program = await createProgram(command!, () => {});
      const known = program.commands.find((it) => it.name() === name);
      const flags = options.filter((option) => option.startsWith('--'));
      expect(known?.options.map(({ long }) => long)).toEqual(expect.arrayContaining(flags));
    },
  );

  it.each(ours)(
    'hands %s only variables that Nimbus, Temporal or the AWS SDK reads',
    (_name, service) => {
      const unknown = Object.keys(service.environment!).filter(
        (name) => !(name in variables) && !/^(TEMPORAL|AWS)_/.test(name),
      );
      expect(unknown).toEqual([]);
    },
  );

  it.each(ours)('runs %s as an ordinary user, on the shared artifacts', (_name, service) => {
    expect(service.user).toBe('node');
    expect(service.volumes).toEqual([`artifacts:${service.environment!['NIMBUS_DATA_DIR']}`]);
  });

  it('lets the worker be scaled: no name and no port of its own', () => {
    const { container_name, ports } = compose.services['nimbus-worker']!;
    expect({ container_name, ports }).toEqual({});
  });

  it('keeps secrets out: each comes from .env, and is empty or required there', () => {
    const secrets = services.flatMap(([, { environment = {} }]) =>
      Object.entries(environment).filter(
        ([name]) => /PASSWORD|PWD|SECRET|TOKEN|KEY/.test(name) && !name.endsWith('_URL'),
      ),
    );
    expect(secrets.length).toBeGreaterThan(3);
    for (const [, value] of secrets) expect(value).toMatch(/^\$\{[A-Z0-9_]+(:-|:\?[^}]*)\}$/);
  });

  it('takes from the environment only what .env.example documents', () => {
    const names = [...text.matchAll(/\$\{([A-Z0-9_]+)/g)].map(([, name]) => name!);
    expect(names.filter((name) => !new RegExp(`^${name}=`, 'm').test(example))).toEqual([]);
  });

  it('shows databases and Temporal to nobody outside', () => {
    expect(compose.networks['backend']).toEqual({ internal: true });
    for (const name of ['mongodb', 'postgresql', 'temporal']) {
      expect(compose.services[name]!.networks).toEqual(['backend']);
      expect(compose.services[name]!.ports).toBeUndefined();
    }
    const published = services.flatMap(([, { ports = [] }]) => ports);
    expect(
      published.filter((port) => !/^(127\.0\.0\.1|\$\{\w+:-127\.0\.0\.1\}):/.test(port)),
    ).toEqual([]);
  });
});

describe('the Dockerfile', () => {
  const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, sources]) =>
    sources!.split(' '),
  );

  it('copies only what is there and what .dockerignore lets through', () => {
    const allowed = readFileSync('.dockerignore', 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('!'))
      .map((line) => line.slice(1));
    expect(copied.filter((source) => !existsSync(source))).toEqual([]);
    expect([...new Set(copied)].sort()).toEqual(allowed.sort());
  });

  it('ends as an ordinary user whose first process is the command itself, with the check of the API', () => {
    expect(dockerfile).toMatch(/^HEALTHCHECK .*\n\s+CMD \["node", "-e", ".*\/v1\/health\/live/m);
    expect(/^USER (.+)$/m.exec(dockerfile)?.[1]).toBe('node');
    expect(dockerfile).toMatch(/^ENTRYPOINT \["node", "bin\/nimbus\.mjs"\]$/m);
  });
});

/** Null where there is no `go`, or no way to the module. */
function composeSchema(): object | null {
  const scratch = mkdtempSync(join(tmpdir(), 'nimbus-compose-'));
  try {
    const answer = execFileSync('go', ['mod', 'download', '-json', SCHEMA_MODULE], {
      cwd: scratch,
      timeout: 45_000,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const { Dir } = JSON.parse(answer.toString('utf8')) as { Dir: string };
    return JSON.parse(readFileSync(join(Dir, 'schema/compose-spec.json'), 'utf8')) as object;
  } catch {
    return null;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
