/** `nimbus jobs …`: look at jobs and steer them. */
import { Option, type Command } from 'commander';
import { jobStates, type Job } from '../../jobs/job.js';
import type { CliContext, Runner } from '../context.js';
import { EXIT } from '../exit-codes.js';
import { resultLines } from '../output/result-list.js';
import { bytes, plain, seconds, table } from '../output/text.js';
import { watchJob } from '../watch-job.js';

export function addJobs(program: Command, run: Runner): void {
  const jobs = program
    .command('jobs')
    .description('list, show, watch, cancel and retry jobs')
    .addHelpText(
      'after',
      `
Examples:
  $ nimbus jobs list --state running --state queued
  $ nimbus jobs watch 5e0c…
  $ nimbus --json jobs result 5e0c… | jq -r '.paths[]'`,
    );
  addList(jobs, run);
  jobs
    .command('show')
    .argument('<id>')
    .description('one job as it is now')
    .action(run(async (context, _options, id) => showJob(context, await context.api().job(id))));
  jobs
    .command('watch')
    .argument('<id>')
    .description('follow a job to its end; exit code 0 if it succeeded, 1 if not')
    .action(run(async (context, _options, id) => watchJob(context, await context.api().job(id))));
  jobs
    .command('cancel')
    .argument('<id>')
    .description('ask a job to stop; what is verified stays')
    .action(run(async (context, _options, id) => showJob(context, await context.api().cancel(id))));
  jobs
    .command('retry')
    .argument('<id>')
    .option('--watch', 'follow the new job')
    .description('start a new job for what an ended one did not get')
    .action(
      run<{ watch?: boolean }>(async (context, { watch }, id) => {
        const job = await context.api().retry(id);
        return watch ? watchJob(context, job) : showJob(context, job);
      }),
    );
  jobs
    .command('result')
    .argument('<id>')
    .description('the files of an ended job, with sizes and digests')
    .action(
      run(async (context, _options, id) => {
        const result = await context.api().result(id);
        if (context.json) context.printJson(result);
        else {
          resultLines(result, context.paint).forEach(context.print);
          if (result.manifest !== null) context.print(`Manifest: ${plain(result.manifest)}`);
        }
        return EXIT.ok;
      }),
    );
}

interface ListOptions {
  state?: string[];
  provider?: string;
  collection?: string;
  query?: string;
  limit: string;
}

function addList(jobs: Command, run: Runner): void {
  jobs
    .command('list')
    .description('newest first')
    .addOption(new Option('--state <state...>', 'only in these states').choices([...jobStates]))
    .option('--provider <id>', 'only of this provider')
    .option('--collection <name>', 'only of this collection')
    .option('--query <text>', 'only with this text in id, collection, product type or labels')
    .option('--limit <number>', 'at most this many', '50')
    .action(
      run<ListOptions>(async (context, options) => {
        const found = await collect(context, options);
        if (context.json) found.jobs.forEach(context.printJson);
        else if (found.jobs.length === 0) context.print('No jobs');
        else {
          context.print(table([header, ...found.jobs.map(row)]));
          if (found.total > found.jobs.length)
            context.print(`${found.jobs.length} of ${found.total}; more with --limit`);
        }
        return EXIT.ok;
      }),
    );
}

const PAGE = 200;

async function collect(context: CliContext, options: ListOptions) {
  const limit = Math.max(1, Number.parseInt(options.limit, 10) || 50);
  const filter = {
    ...(options.state ? { state: options.state } : {}),
    ...(options.provider ? { provider: options.provider } : {}),
    ...(options.collection ? { collection: options.collection } : {}),
    ...(options.query ? { q: options.query } : {}),
  };
  const api = context.api();
  const jobs: Job[] = [];
  for (let cursor: string | null = null; ;) {
    const page = await api.jobs({
      ...filter,
      page_size: String(Math.min(PAGE, limit - jobs.length)),
      ...(cursor === null ? {} : { cursor }),
    });
    jobs.push(...page.items);
    cursor = page.next_cursor;
    if (cursor === null || jobs.length >= limit) return { jobs, total: page.total };
  }
}

const header = ['ID', 'STATE', 'PROGRESS', 'PRODUCTS', 'BYTES', 'CREATED', 'WHAT'];

const row = (job: Job): string[] => [
  job.job_id,
  job.state,
  `${job.progress} %`,
  productsOf(job),
  bytes(job.bytes_downloaded),
  job.created_at.slice(0, 19).replace('T', ' '),
  plain([job.provider, job.collection, job.product_type].filter(Boolean).join(' ')),
];

function productsOf(job: Job): string {
  const failed = job.products_failed > 0 ? `, ${job.products_failed} failed` : '';
  return `${job.products_done}/${job.products_total ?? '?'}${failed}`;
}

async function showJob(context: CliContext, job: Job) {
  if (context.json) context.printJson(job);
  else context.print(table(describe(job)));
  return EXIT.ok;
}

function describe(job: Job): string[][] {
  const rows: [string, string | null][] = [
    ['Job', job.job_id],
    ['State', job.state],
    ['What', [job.provider, job.collection, job.product_type].filter(Boolean).join(' ')],
    ['Progress', `${job.progress} %, ${productsOf(job)} products, ${bytes(job.bytes_downloaded)}`],
    ['Waiting', job.waiting && `${job.waiting.reason}: ${job.waiting.detail}`],
    ['Error', job.error && `${job.error.title}: ${job.error.detail}`],
    ['Next', job.error?.hint ?? null],
    [
      'Labels',
      Object.entries(job.labels)
        .map((pair) => pair.join('='))
        .join(', ') || null,
    ],
    ['Created', job.created_at],
    [
      'Finished',
      job.finished_at && `${job.finished_at} after ${seconds(job.duration_seconds * 1000)}`,
    ],
    ['Retry of', job.retry_of],
    ['Temporal', job.workflow_url],
  ];
  return rows.flatMap(([name, value]) => (value === null ? [] : [[name, plain(value)]]));
}
