import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  formatLimit,
  limitAt,
  nextChange,
  parseBandwidth,
  parseLimit,
  type BandwidthTable,
} from '../../../src/transfer/bandwidth-table.js';

const KIB = 1024;
const MIB = KIB * KIB;
const MINUTE_MS = 60_000;
const DAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];
const ZONES = ['UTC', 'Europe/Berlin', 'America/St_Johns', 'Australia/Lord_Howe', 'Asia/Kathmandu'];

interface Entry {
  day: number | null;
  hour: number;
  minute: number;
  limit: string;
}

const two = (number: number) => String(number).padStart(2, '0');
const write = ({ day, hour, minute, limit }: Entry) =>
  `${day === null ? '' : `${DAYS[day]}-`}${two(hour)}:${two(minute)},${limit}`;

/** Every minute of a week painted with what was said last, twice over, so that Monday morning knows of Sunday. */
function paint(entries: Entry[]): (number | null)[] {
  const minutes = new Array<number | null>(7 * 1440).fill(null);
  let now: number | null = null;
  for (let pass = 0; pass < 2; pass++)
    for (let at = 0; at < minutes.length; at++) {
      const [day, hour, minute] = [Math.floor(at / 1440), Math.floor((at % 1440) / 60), at % 60];
      const said = entries.filter((entry) => entry.hour === hour && entry.minute === minute);
      const one = said.find((entry) => entry.day === day) ?? said.find(({ day }) => day === null);
      if (one) now = parseLimit(one.limit);
      minutes[at] = now;
    }
  return minutes;
}

/** The wall clock of a zone by another way than the code's own. */
function wallMinute(timeZone: string, epochMs: number): number {
  const shown = new Date(epochMs).toLocaleString('sv-SE', { timeZone });
  const wall = new Date(`${shown.replace(' ', 'T')}Z`);
  const day = (wall.getUTCDay() + 6) % 7;
  return day * 1440 + wall.getUTCHours() * 60 + wall.getUTCMinutes();
}

const entry: fc.Arbitrary<Entry> = fc.record({
  day: fc.option(fc.integer({ min: 0, max: 6 })),
  hour: fc.integer({ min: 0, max: 23 }),
  minute: fc.constantFrom(0, 1, 29, 30, 59),
  limit: fc.constantFrom('off', '64k', '512k', '2M', '1.5M', '1G'),
});
const entries = fc.uniqueArray(entry, {
  minLength: 1,
  maxLength: 12,
  selector: ({ day, hour, minute }) => `${day} ${hour}:${minute}`,
});
const year2026 = { min: Date.UTC(2026, 0, 1), max: Date.UTC(2027, 0, 1) };

describe('D23 a weekly table of limits', () => {
  it('says at any instant what a clock says that walks through the week minute by minute', () => {
    fc.assert(
      fc.property(
        entries,
        fc.constantFrom(...ZONES),
        fc.array(fc.integer(year2026), { minLength: 20, maxLength: 20 }),
        (all, timeZone, instants) => {
          const table = parseBandwidth(all.map(write).join(' '), timeZone);
          const painted = paint(all);
          for (const at of instants)
            expect(limitAt(table, at)).toBe(painted[wallMinute(timeZone, at)]);
        },
      ),
      { numRuns: 100 },
    );
  });

  it('names the next change to the minute', () => {
    fc.assert(
      fc.property(
        entries,
        fc.constantFrom(...ZONES),
        fc.integer(year2026),
        (all, timeZone, from) => {
          const table = parseBandwidth(all.map(write).join(' '), timeZone);
          const next = nextChange(table, from);
          const now = limitAt(table, from);
          if (next === null) {
            expect(new Set(paint(all))).toEqual(new Set([now]));
            return;
          }
          expect(limitAt(table, next)).not.toBe(now);
          for (let at = from; at < next; at += 7 * MINUTE_MS) expect(limitAt(table, at)).toBe(now);
          expect(limitAt(table, next - 1)).toBe(now);
        },
      ),
      { numRuns: 40 },
    );
  });

  const at = (table: BandwidthTable, iso: string) => limitAt(table, Date.parse(iso));

  it("reads rclone's own example", () => {
    const table = parseBandwidth(
      'Mon-00:00,512k Fri-23:59,10M Sat-10:00,1M Sun-20:00,off',
      'Europe/London',
    );
    expect(at(table, '2026-11-19T12:00:00Z')).toBe(512 * KIB);
    expect(at(table, '2026-11-20T23:59:00Z')).toBe(10 * MIB);
    expect(at(table, '2026-11-21T12:00:00Z')).toBe(MIB);
    expect(at(table, '2026-11-22T23:00:00Z')).toBeNull();
    expect(at(table, '2026-11-23T00:00:00Z')).toBe(512 * KIB);
  });

  it('applies entries without a day to every day, and those with a day before them', () => {
    const table = parseBandwidth('08:00,1M 18:00,off Sat-08:00,off', 'UTC');
    expect(at(table, '2026-11-20T09:00:00Z')).toBe(MIB);
    expect(at(table, '2026-11-20T18:00:00Z')).toBeNull();
    expect(at(table, '2026-11-20T07:59:59Z')).toBeNull();
    expect(at(table, '2026-11-21T09:00:00Z')).toBeNull();
    expect(at(table, '2026-11-22T09:00:00Z')).toBe(MIB);
  });

  it('keeps to the wall clock when summer time begins and ends', () => {
    const table = parseBandwidth('TZ=Europe/Berlin 02:30,1M 08:00,off', 'UTC');
    // 29 March: 01:59 is followed by 03:00, and half past two never comes.
    expect(at(table, '2026-03-29T00:59:59Z')).toBeNull();
    expect(at(table, '2026-03-29T01:00:00Z')).toBe(MIB);
    expect(at(table, '2026-03-29T06:00:00Z')).toBeNull();
    // 25 October: 02:00 to 02:59 comes twice.
    expect(at(table, '2026-10-25T00:29:00Z')).toBeNull();
    expect(at(table, '2026-10-25T00:30:00Z')).toBe(MIB);
    expect(at(table, '2026-10-25T01:00:00Z')).toBeNull();
    expect(at(table, '2026-10-25T01:30:00Z')).toBe(MIB);
  });

  it('has the zone that it names, else the one that it is given', () => {
    expect(parseBandwidth('TZ=Asia/Tokyo 08:00,1M 18:00,off', 'UTC').timeZone).toBe('Asia/Tokyo');
    const given = parseBandwidth('08:00,1M 18:00,off', 'America/New_York');
    expect(at(given, '2026-11-20T13:00:00Z')).toBe(MIB);
    expect(at(given, '2026-11-20T12:59:00Z')).toBeNull();
  });
});

describe('D23 a limit', () => {
  it.each([
    ['off', null],
    ['OFF', null],
    ['512k', 512 * KIB],
    ['1.5M', 1.5 * MIB],
    ['2MB/s', 2 * MIB],
    ['20MiB/s', 20 * MIB],
    ['1G', 1024 * MIB],
    ['2048B', 2048],
  ])('reads %s', (text, expected) => {
    expect(parseLimit(text)).toBe(expected);
    expect(at0(text)).toBe(expected);
  });
  const at0 = (text: string) => limitAt(parseBandwidth(text, 'UTC'), 0);

  it('is shown as it is read', () => {
    fc.assert(
      fc.property(fc.integer({ min: KIB, max: 2 ** 40 }), (limit) => {
        expect(parseLimit(formatLimit(limit))).toBe(limit);
      }),
    );
    expect(formatLimit(1.5 * MIB)).toBe('1.5M');
    expect(formatLimit(null)).toBe('off');
  });

  it.each([
    ['', /Empty/],
    ['TZ=Europe/Berlin', /Empty/],
    ['10', /"10" has no unit: 10k is KiB per second, 10M is MiB per second/],
    ['fast', /"fast" is not a limit/],
    ['2Mb/s', /"2Mb\/s" is not a limit/],
    ['-1M', /"-1M" is not a limit/],
    ['0M', /would stop everything: "off" means unlimited/],
    ['100B', /too little: at least 1k/],
    ['10M:1M', /is not an entry of a table/],
    ['10M 512k', /"10M" is not an entry of a table: HH:MM,LIMIT or Day-HH:MM,LIMIT/],
    ['24:00,1M', /"24:00" in "24:00,1M" is not a time of day/],
    ['8:60,1M', /"8:60" in "8:60,1M" is not a time of day/],
    ['Mo-08:00,1M', /"Mo" in "Mo-08:00,1M" is not a day: Mon, Tue/],
    ['mon-fri-08:00,1M', /is not an entry/],
    ['08:00,1M Mon-08:00,2M 08:00,3M', /"08:00,3M" is a second limit for the same time/],
    ['Mon-08:00,1M monday-8:00,2M', /a second limit for the same time/],
    ['08:00,', /is not an entry/],
    ['TZ=Mars/Olympus 08:00,1M', /"Mars\/Olympus" is not a time zone/],
  ])('refuses %j and says why', (text, message) => {
    expect(() => parseBandwidth(text, 'UTC')).toThrow(message);
    expect(() => parseBandwidth(text, 'UTC')).toThrow(
      expect.objectContaining({ code: 'InvalidInput' }),
    );
  });
});
