// The import table of docs/architecture.md, held by lint, plus the type-aware rules that catch lost promises.
import { createTypeScriptImportResolver } from 'eslint-import-resolver-typescript';
import importX from 'eslint-plugin-import-x';
import tseslint from 'typescript-eslint';

/** `from` may be imported by `target` only where listed; everything else of ours is refused. */
const ours = [
  'jobs',
  'geo',
  'providers',
  'transfer',
  'artifacts',
  'mirror',
  'engine',
  'api',
  'cli',
  'sandbox',
  'telemetry',
];
const mayImport = {
  jobs: [],
  geo: ['jobs'],
  telemetry: ['jobs'],
  transfer: ['jobs'],
  artifacts: ['jobs', 'transfer'],
  providers: ['jobs', 'geo', 'transfer', 'telemetry'],
  mirror: ['jobs', 'telemetry'],
  sandbox: ['jobs', 'geo', 'telemetry'],
  engine: ['jobs', 'geo', 'providers', 'transfer', 'artifacts', 'mirror', 'telemetry'],
  api: ['jobs', 'geo', 'providers', 'transfer', 'artifacts', 'mirror', 'engine', 'telemetry'],
  cli: ours,
};

const zones = Object.entries(mayImport).flatMap(([folder, allowed]) =>
  ours
    .filter((other) => other !== folder && !allowed.includes(other))
    .map((other) => ({
      target: `./src/${folder}`,
      from: `./src/${other}`,
      message: `src/${folder} may not import src/${other} (docs/architecture.md)`,
    })),
);
// config.ts reads the environment: only the composition roots may see it.
for (const folder of [
  'jobs',
  'geo',
  'transfer',
  'artifacts',
  'mirror',
  'providers',
  'sandbox',
  'telemetry',
])
  zones.push({ target: `./src/${folder}`, from: './src/config.ts', message: 'pass settings in' });
for (const other of ours.filter((name) => name !== 'jobs'))
  zones.push({
    target: './workflows',
    from: `./src/${other}`,
    message: 'workflows see src/jobs alone',
  });
for (const folder of [...ours.filter((name) => !['engine', 'cli'].includes(name))])
  zones.push({
    target: `./src/${folder}`,
    from: './activities',
    message: 'activities sit above the ports',
  });
for (const other of ['engine', 'api', 'cli', 'sandbox'])
  zones.push({
    target: './activities',
    from: `./src/${other}`,
    message: 'activities see ports, not their users',
  });

export default tseslint.config(
  { ignores: ['dist', 'node_modules', 'data', 'test/histories'] },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { project: './tsconfig.test.json' } },
    plugins: { 'import-x': importX },
    settings: {
      'import-x/resolver-next': [
        createTypeScriptImportResolver({ project: './tsconfig.test.json' }),
      ],
    },
    rules: {
      'import-x/no-restricted-paths': ['error', { zones }],
      'import-x/no-cycle': ['error', { maxDepth: 6 }],
      'import-x/no-default-export': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_' },
      ],
      '@typescript-eslint/require-await': 'off',
      // Ports are objects of closures: taking a method out of one is how they are passed on.
      '@typescript-eslint/unbound-method': 'off',
      '@typescript-eslint/no-floating-promises': ['error', { ignoreVoid: true }],
      'no-restricted-properties': [
        'error',
        { object: 'process', property: 'env', message: 'only src/config.ts reads the environment' },
      ],
    },
  },
  {
    files: ['src/config.ts', 'test/**', 'vitest.config.ts', 'src/cli/**'],
    rules: { 'no-restricted-properties': 'off' },
  },
  { files: ['vitest.config.ts'], rules: { 'import-x/no-default-export': 'off' } },
  {
    files: ['workflows/**/*.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              group: ['node:*', '@temporalio/client', '@temporalio/worker', '@temporalio/activity'],
              message: 'not deterministic',
            },
            { regex: 'activities/', allowTypeImports: true, message: 'types only' },
          ],
        },
      ],
    },
  },
  {
    files: ['test/**/*.ts'],
    rules: {
      '@typescript-eslint/no-explicit-any': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
    },
  },
);
