/** What may be taken of the line: read from, and written to, the record that every worker looks at. */
import {
  ALL,
  linesInForce,
  readLiveBandwidth,
  writeLiveBandwidth,
  type BandwidthLine,
} from '../../engine/bandwidth.js';
import { ServiceError } from '../../jobs/error-codes.js';
import {
  formatLimit,
  limitAt,
  nextChange,
  parseBandwidth,
} from '../../transfer/bandwidth-table.js';
import { closeAll, openProviders, openStore } from '../composition.js';
import type { Config } from '../../config.js';
import type { CliContext } from '../context.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { withRunningStack } from '../local/running-stack.js';
import { plain, table } from '../output/text.js';

export async function showBandwidth(context: CliContext): Promise<ExitCode> {
  const config = context.config(withRunningStack(context.env));
  const store = await openStore(config);
  try {
    tell(context, linesInForce(config.bandwidth, await readLiveBandwidth(store)));
    return EXIT.ok;
  } finally {
    await closeAll(() => store.close());
  }
}

/** @param text null = as the environment says */
export async function setBandwidth(
  context: CliContext,
  provider: string | undefined,
  text: string | null,
): Promise<ExitCode> {
  const config = context.config(withRunningStack(context.env));
  const line = provider ?? ALL;
  await assertProvider(config, provider);
  const set = text === null ? null : parseBandwidth(text, config.bandwidth.timeZone);
  const store = await openStore(config);
  try {
    await store.prepare();
    const live = set === null ? null : { text: set.text, time_zone: set.timeZone };
    await writeLiveBandwidth(store, line, live);
    tell(context, linesInForce(config.bandwidth, await readLiveBandwidth(store)));
    context.notes.say('Workers follow within a few seconds');
    return EXIT.ok;
  } finally {
    await closeAll(() => store.close());
  }
}

async function assertProvider(config: Config, provider: string | undefined): Promise<void> {
  if (provider === undefined) return;
  const providers = openProviders(config, () => null);
  await closeAll(...[...providers.values()].map((one) => () => one.close()));
  if (!providers.has(provider))
    throw new ServiceError(
      'InvalidInput',
      `There is no provider "${provider}" (there are ${[...providers.keys()].join(', ')})`,
    );
}

function tell({ json, print, printJson }: CliContext, lines: BandwidthLine[]): void {
  const nowMs = Date.now();
  const rows = lines.map((one) => ({
    line: one.line,
    limit: limitAt(one.table, nowMs),
    until: nextChange(one.table, nowMs),
    source: one.source,
    text: one.table.text,
    timeZone: one.table.timeZone,
  }));
  if (json) {
    for (const { line, limit, until, source, text, timeZone } of rows)
      printJson({
        ...{ line, source, text, time_zone: timeZone, limit_bytes_per_second: limit },
        until: until === null ? null : new Date(until).toISOString(),
      });
    return;
  }
  if (rows.length === 0) return print('Unlimited');
  const cells = rows.map(({ line, limit, until, source, text, timeZone }) => [
    plain(line),
    limit === null ? 'unlimited' : `${formatLimit(limit)}iB/s`.replace('BiB/s', 'B/s'),
    until === null ? 'always' : `until ${wallClock(until, timeZone)}`,
    source === 'live' ? 'set live' : 'environment',
    until === null ? '' : plain(text),
  ]);
  print(table(cells));
}

/** `Fri 18:00 Europe/Berlin` */
function wallClock(epochMs: number, timeZone: string): string {
  const clock = new Intl.DateTimeFormat('en-GB', {
    ...{ timeZone, weekday: 'short', hour: '2-digit', minute: '2-digit' },
  });
  return `${clock.format(epochMs).replace(',', '')} ${timeZone}`;
}
