import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { setBandwidth, showBandwidth } from '../../../src/cli/actions/bandwidth.js';
import type { CliContext } from '../../../src/cli/context.js';
import { createProgram } from '../../../src/cli/main.js';
import { readConfig } from '../../../src/config.js';

let dataDir: string;
let printed: string[];
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'nimbus-bandwidth-'));
  printed = [];
});
afterEach(() => rm(dataDir, { recursive: true, force: true }));

function context(change: Record<string, string> = {}, json = false): CliContext {
  const env = { NIMBUS_DATA_DIR: dataDir, NIMBUS_TIME_ZONE: 'UTC', ...change };
  return {
    env,
    json,
    config: () => readConfig(env),
    print: (line: string) => void printed.push(line),
    printJson: (value: unknown) => void printed.push(JSON.stringify(value)),
    notes: { say: (line: string) => void printed.push(line) },
  } as unknown as CliContext;
}

describe('D23 nimbus bandwidth', () => {
  it('says that nothing is limited', async () => {
    await showBandwidth(context());
    expect(printed).toEqual(['Unlimited']);
  });

  it('sets a limit that goes before the environment, and clears it again', async () => {
    const given = { NIMBUS_BANDWIDTH: '10M', NIMBUS_PROVIDER_BANDWIDTH: 'copernicus=20M' };
    await setBandwidth(context(given), undefined, '1.5M');
    expect(printed).toEqual([
      'all         1.5MiB/s  always  set live\n' + 'copernicus  20MiB/s   always  environment',
      'Workers follow within a few seconds',
    ]);
    printed = [];
    await setBandwidth(context(given), undefined, null);
    expect(printed[0]).toMatch(/^all +10MiB\/s +always +environment/);
  });

  it('keeps the time zone in which a table was written, and says until when a limit holds', async () => {
    const table = '00:00,2M Mon-12:00,off';
    await setBandwidth(context({ NIMBUS_TIME_ZONE: 'Asia/Tokyo' }), 'copernicus', table);
    printed = [];
    await showBandwidth(context());
    expect(printed[0]).toMatch(
      /^copernicus +(2MiB\/s|unlimited) +until (Mon 12:00|Tue 00:00) Asia\/Tokyo +set live +00:00,2M Mon-12:00,off$/,
    );
    printed = [];
    await showBandwidth(context({}, true));
    expect(JSON.parse(printed[0]!)).toMatchObject({
      line: 'copernicus',
      source: 'live',
      text: table,
      time_zone: 'Asia/Tokyo',
      until: expect.stringMatching(/^\d{4}-.*T(03|15):00:00.000Z$/),
    });
  });

  it('refuses what is no limit and who is no provider, and changes nothing', async () => {
    await expect(setBandwidth(context(), undefined, 'fast')).rejects.toThrow(/"fast" is not a/);
    await expect(setBandwidth(context(), 'nasa', '5M')).rejects.toThrow(
      /no provider "nasa" \(there are copernicus/,
    );
    await showBandwidth(context());
    expect(printed).toEqual(['Unlimited']);
  });

  it('is a command whose table needs no quotes', async () => {
    const program = await createProgram(['bandwidth'], () => undefined);
    const set = program.commands
      .find((command) => command.name() === 'bandwidth')!
      .commands.find((command) => command.name() === 'set')!;
    expect(set.registeredArguments[0]).toMatchObject({ variadic: true, required: true });
  });
});
