/**
 * Which limit is in force when, as a text of one line: a limit (`10M`, `off`), or a weekly table in rclone's form,
 * `[Day-]HH:MM,LIMIT …`, optionally led by `TZ=Europe/Berlin`. Times are those of the wall clock in that zone: an hour that
 * summer time skips takes its entries with it, up to the next moment that exists, and an hour that comes twice is limited
 * twice alike. Pure; nothing is remembered between calls.
 *
 * @see https://rclone.org/docs/#bwlimit-bwtimetable
 */
import { ServiceError } from '../jobs/error-codes.js';

export interface BandwidthTable {
  /** As given, spaces made single. */
  text: string;
  /** IANA name. */
  timeZone: string;
  /** By `minute` of the week (0 = Monday 00:00), strictly growing; the last one holds on into the next week. Never empty. */
  entries: readonly BandwidthEntry[];
}

export interface BandwidthEntry {
  minute: number;
  limit: number | null;
}

const DAYS = ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'];
const SHORT_DAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];
const DAY_MINUTES = 1440;
const WEEK_MINUTES = 7 * DAY_MINUTES;
const UNITS: Record<string, number> = { b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 };
/** A transfer that is slower counts as stalled. */
const LEAST_LIMIT = 1024;

/** @param timeZone IANA name, for a table that names none; @throws ServiceError InvalidInput, saying what is wrong */
export function parseBandwidth(text: string, timeZone: string): BandwidthTable {
  const words = text.split(/\s+/).filter((word) => word !== '');
  const zone = /^TZ=(.*)$/i.exec(words[0] ?? '')?.[1];
  const rest = zone === undefined ? words : words.slice(1);
  const table = { text: words.join(' '), timeZone: zone ?? timeZone };
  assertTimeZone(table.timeZone);
  if (rest.length === 0)
    throw refused('Empty. A limit is "10M" or "off", a table "08:00,2M 18:00,off"');
  if (rest.length === 1 && !/[,:]/.test(rest[0]!))
    return { ...table, entries: [{ minute: 0, limit: parseLimit(rest[0]!) }] };
  return { ...table, entries: parseEntries(rest) };
}

/** Bytes per second at an instant, null = unlimited. */
export function limitAt({ entries, timeZone }: BandwidthTable, epochMs: number): number | null {
  if (entries.length === 1) return entries[0]!.limit;
  const minute = minuteOfWeek(timeZone, epochMs);
  const past = entries.filter((entry) => entry.minute <= minute);
  return (past.at(-1) ?? entries.at(-1)!).limit;
}

/** The next instant, to the minute, at which another limit is in force; null when that never happens. */
export function nextChange(table: BandwidthTable, epochMs: number): number | null {
  const now = limitAt(table, epochMs);
  if (table.entries.every(({ limit }) => limit === now)) return null;
  const minuteMs = 60_000;
  let atMs = Math.floor(epochMs / minuteMs) * minuteMs;
  do atMs += minuteMs;
  while (limitAt(table, atMs) === now);
  return atMs;
}

/** `2M` → 2097152; `off` → null. Units are binary, as rclone's. @throws ServiceError InvalidInput */
export function parseLimit(text: string): number | null {
  if (text.toLowerCase() === 'off') return null;
  const match = /^(\d{1,15}(?:\.\d{1,6})?)([BkKmMgGtT]?)(?:i?B)?(?:\/s)?$/.exec(text);
  if (!match)
    throw refused(`"${text}" is not a limit: a number with k, M or G, as 512k or 1.5M, or off`);
  const [, number, unit = ''] = match;
  if (unit === '')
    throw refused(
      `"${text}" has no unit: ${number}k is KiB per second, ${number}M is MiB per second`,
    );
  const limit = Math.round(Number(number) * UNITS[unit.toLowerCase()]!);
  if (limit === 0) throw refused(`"${text}" would stop everything: "off" means unlimited`);
  if (limit < LEAST_LIMIT) throw refused(`"${text}" is too little: at least 1k`);
  return limit;
}

/** @throws ServiceError InvalidInput */
export function assertTimeZone(timeZone: string): void {
  try {
    clockOf(timeZone);
  } catch {
    throw refused(`"${timeZone}" is not a time zone (example: Europe/Berlin)`);
  }
}

/** `2097152` → `2M`, the shortest exact form that `parseLimit` reads. */
export function formatLimit(limit: number | null): string {
  if (limit === null) return 'off';
  for (const unit of ['G', 'M', 'k']) {
    const count = limit / UNITS[unit.toLowerCase()]!;
    if (count >= 1 && Number.isInteger(count * 1000)) return `${count}${unit}`;
  }
  return `${limit}B`;
}

function parseEntries(words: readonly string[]): BandwidthEntry[] {
  const daily = new Map<number, number | null>();
  const byDay = new Map<number, number | null>();
  for (const word of words) {
    const { day, minute, limit } = parseEntry(word);
    const minutes = day === null ? daily : byDay;
    const at = (day ?? 0) * DAY_MINUTES + minute;
    if (minutes.has(at)) throw refused(`"${word}" is a second limit for the same time`);
    minutes.set(at, limit);
  }
  const week = new Map<number, number | null>();
  for (let day = 0; day < 7; day++)
    for (const [minute, limit] of daily) week.set(day * DAY_MINUTES + minute, limit);
  // What is said of one day goes before what is said of all.
  for (const [minute, limit] of byDay) week.set(minute, limit);
  return [...week]
    .map(([minute, limit]) => ({ minute, limit }))
    .sort((a, b) => a.minute - b.minute);
}

function parseEntry(word: string): { day: number | null; minute: number; limit: number | null } {
  const match = /^(?:([^-,]*)-)?([^-,]*),(.+)$/.exec(word);
  if (!match) throw refused(`"${word}" is not an entry of a table: HH:MM,LIMIT or Day-HH:MM,LIMIT`);
  const [, day, time = '', limit = ''] = match;
  const clock = /^(\d{1,2}):(\d{2})$/.exec(time);
  const minute = clock ? Number(clock[1]) * 60 + Number(clock[2]) : DAY_MINUTES;
  if (!clock || minute >= DAY_MINUTES || Number(clock[2]) > 59)
    throw refused(`"${time}" in "${word}" is not a time of day from 00:00 to 23:59`);
  return { day: day === undefined ? null : parseDay(day, word), minute, limit: parseLimit(limit) };
}

function parseDay(text: string, word: string): number {
  const lower = text.toLowerCase();
  const day = DAYS.findIndex((name) => name === lower || name.slice(0, 3) === lower);
  if (day < 0) throw refused(`"${text}" in "${word}" is not a day: ${SHORT_DAYS.join(', ')}`);
  return day;
}

function minuteOfWeek(timeZone: string, epochMs: number): number {
  let minute = 0;
  for (const { type, value } of clockOf(timeZone).formatToParts(epochMs)) {
    if (type === 'weekday') minute += SHORT_DAYS.indexOf(value) * DAY_MINUTES;
    if (type === 'hour') minute += Number(value) * 60;
    if (type === 'minute') minute += Number(value);
  }
  return minute % WEEK_MINUTES;
}

const clocks = new Map<string, Intl.DateTimeFormat>();

function clockOf(timeZone: string): Intl.DateTimeFormat {
  const known = clocks.get(timeZone);
  if (known) return known;
  const clock = new Intl.DateTimeFormat('en-US', {
    ...{ timeZone, calendar: 'gregory', numberingSystem: 'latn', hourCycle: 'h23' },
    ...{ weekday: 'short', hour: '2-digit', minute: '2-digit' },
  });
  clocks.set(timeZone, clock);
  return clock;
}

const refused = (message: string): ServiceError => new ServiceError('InvalidInput', message);
