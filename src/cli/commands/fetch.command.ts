/** `nimbus fetch`: submits a search-and-download job and follows it. */
import { randomUUID } from 'node:crypto';
import { Option, type Command } from 'commander';
import type { Job } from '../../jobs/job.js';
import type { SearchDownloadInput } from '../../jobs/request.js';
import { parseAoi } from '../aoi-argument.js';
import { submitJob } from '../client/submit-job.js';
import type { CliContext, Runner } from '../context.js';
import { CommandError, EXIT } from '../exit-codes.js';
import { toNumber } from '../option-values.js';
import { watchJob } from '../watch-job.js';

interface FetchOptions {
  provider: string;
  collection: string;
  productType?: string;
  start?: string;
  end?: string;
  aoi?: string;
  products?: string[];
  cloudMax?: number;
  maxProducts?: number;
  maxBytes?: number;
  include?: string[];
  exclude?: string[];
  order?: SearchDownloadInput['order'];
  onError?: SearchDownloadInput['on_error'];
  ifExists?: SearchDownloadInput['if_exists'];
  priority?: SearchDownloadInput['priority'];
  label?: string[];
  key?: string;
  follow: boolean;
}

export function addFetch(program: Command, run: Runner): void {
  const command = program
    .command('fetch')
    .description('submit a job and follow it until its files are verified')
    .option('--provider <id>', 'whose catalogue', 'copernicus')
    .requiredOption('--collection <name>', 'for example SENTINEL-2')
    .option('--product-type <name>', 'for example S2MSI2A')
    .option('--start <day or instant>', 'first day (UTC), included')
    .option('--end <day or instant>', 'last day (UTC), included')
    .option('--aoi <area>', 'WKT, GeoJSON, a file with either, an MGRS tile, or "global"')
    .option('--products <id or name...>', 'exactly these, instead of --aoi, --start and --end')
    .option('--cloud-max <percent>', 'leave out what is cloudier', toNumber)
    .option('--max-products <number>', 'at most this many', toNumber)
    .option('--max-bytes <number>', 'at most this much', toNumber)
    .option(
      '--include <pattern...>',
      'only files like this out of each product, as in "*_B04_10m.jp2" or "GRANULE/**/R10m/*"',
    )
    .option('--exclude <pattern...>', 'but not files like this')
    .option('--label <name=value...>', 'found again with `nimbus jobs list --query`')
    .option('--key <text>', 'Idempotency-Key: the same key and request are the same job')
    .option('--no-follow', 'print the job and leave');
  const choices: [flag: string, text: string, values: string[]][] = [
    ['--order <order>', 'which come first', ['newest', 'oldest', 'cloud', 'size']],
    ['--on-error <what>', 'when a product fails', ['continue', 'stop']],
    ['--if-exists <what>', 'when a file is there already', ['verify', 'skip', 'replace', 'fail']],
    ['--priority <level>', 'against other jobs', ['interactive', 'normal', 'bulk']],
  ];
  for (const [flag, text, values] of choices)
    command.addOption(new Option(flag, text).choices(values));
  command.addHelpText('after', examples).action(
    run<FetchOptions>(async (context, options) => {
      const request = toRequest(options);
      const key = options.key ?? randomUUID();
      const submitted = await submitOrStop(context, request, key);
      if (!submitted) return context.stop.exitCode();
      const { job, created } = submitted;
      context.notes.say(`Job ${job.job_id} ${created ? 'accepted' : 'was accepted before'}`);
      if (options.follow) return watchJob(context, job);
      if (context.json) context.printJson(job);
      return EXIT.ok;
    }),
  );
}

/** Null when the user asked to stop while the API was waited for. */
async function submitOrStop(
  context: CliContext,
  request: SearchDownloadInput,
  idempotencyKey: string,
): Promise<{ job: Job; created: boolean } | null> {
  const { notes, stop } = context;
  const { signal } = stop;
  try {
    return await submitJob(context.api(), { request, idempotencyKey, say: notes.say, signal });
  } catch (error) {
    if (stop.which() === null) throw error;
    notes.say(
      `Stopped before the job was accepted, as far as is known. With --key ${idempotencyKey} the same command makes ` +
        'this very job, or finds it',
    );
    return null;
  }
}

const examples = `
Examples:
  $ nimbus fetch --collection SENTINEL-2 --product-type S2MSI2A --start 2025-01-01 --end 2025-01-03 \\
      --aoi 'POLYGON((-7.8 33.4,-7.2 33.4,-7.2 33.8,-7.8 33.8,-7.8 33.4))' --cloud-max 20
  $ nimbus fetch --collection SENTINEL-1 --start 2025-01-01 --end 2025-01-01 --aoi field.geojson
  $ nimbus fetch --collection SENTINEL-2 --products S2A_MSIL2A_20250101T…SAFE
  $ nimbus fetch --collection SENTINEL-2 --product-type S2MSI2A --start 2025-01-01 --end 2025-01-03 \\
      --aoi 29SPT --include '*_B0[48]_10m.jp2' 'MTD_MSIL2A.xml'
  $ nimbus --json fetch … | jq -r 'select(.kind == "result") | .paths[]'

Patterns for files: without a slash they are compared with a file's name, with one with its path inside the product.
* is any run of characters, ? one, [48] one of these, ** any folders; upper and lower case differ. Quote them, so that
the shell leaves them alone. A pattern that matches nothing fails the product and shows names that it has.

Ctrl-C stops watching, not the job. While Temporal does not answer, a job is submitted again for up to a minute, with the
same key, so that it is never made twice.`;

/** @throws CommandError (2) naming the option */
export function toRequest(options: FetchOptions): SearchDownloadInput {
  const request: Record<string, unknown> = {
    provider: options.provider,
    collection: options.collection,
    product_type: options.productType,
    start_date: options.start,
    end_date: options.end,
    aoi: options.aoi === undefined ? undefined : parseAoi(options.aoi),
    products: options.products,
    cloud_cover_max: options.cloudMax,
    max_products: options.maxProducts,
    max_bytes: options.maxBytes,
    assets: toAssets(options),
    order: options.order,
    on_error: options.onError,
    if_exists: options.ifExists,
    priority: options.priority,
    labels: options.label && Object.fromEntries(options.label.map(toLabel)),
  };
  return Object.fromEntries(
    Object.entries(request).filter(([, value]) => value !== undefined),
  ) as SearchDownloadInput;
}

function toAssets({ include, exclude }: FetchOptions): SearchDownloadInput['assets'] {
  return include || exclude
    ? { ...(include && { include }), ...(exclude && { exclude }) }
    : undefined;
}

function toLabel(text: string): [string, string] {
  const at = text.indexOf('=');
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
  throw new CommandError(`--label ${text}: not name=value`, EXIT.usage);
}
