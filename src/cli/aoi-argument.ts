/** `--aoi`: a file, an MGRS tile, GeoJSON, WKT or the word `global`, told apart by what it looks like. The API checks the rest. */
import { readFileSync, statSync } from 'node:fs';
import type { AoiInput } from '../jobs/request.js';
import { CommandError, EXIT } from './exit-codes.js';
import { plain } from './output/text.js';

/** @throws CommandError (65) for a file that cannot be read or is neither WKT nor JSON, (2) for a text that is nothing of all that */
export function parseAoi(text: string): AoiInput {
  const trimmed = text.trim();
  if (trimmed === 'global') return { global: true };
  if (/^T?\d{1,2}[C-HJ-NP-X][A-HJ-NP-Z]{2}$/i.test(trimmed)) return { tile: trimmed.toUpperCase() };
  if (looksLikeArea(trimmed)) return parseArea(trimmed, 'The area', EXIT.usage);
  if (statSync(trimmed, { throwIfNoEntry: false })?.isFile() === true)
    return parseArea(readFileSync(trimmed, 'utf8').trim(), plain(trimmed), EXIT.dataError);
  throw new CommandError(
    `--aoi ${plain(trimmed.slice(0, 60))}: neither a file nor WKT, GeoJSON, an MGRS tile or "global"`,
    EXIT.usage,
    "For example --aoi 29SPT or --aoi 'POLYGON((-7.8 33.4,-7.2 33.4,-7.2 33.8,-7.8 33.4))'",
  );
}

const looksLikeArea = (text: string): boolean =>
  text.startsWith('{') ||
  /^(SRID=\d+;)?\s*(MULTI)?(POINT|LINESTRING|POLYGON)|^(SRID=\d+;)?\s*GEOMETRYCOLLECTION/i.test(
    text,
  );

function parseArea(
  text: string,
  what: string,
  exitCode: typeof EXIT.usage | typeof EXIT.dataError,
): AoiInput {
  if (!text.startsWith('{')) {
    if (looksLikeArea(text)) return { wkt: text };
    throw new CommandError(`${what} holds neither WKT nor GeoJSON`, exitCode);
  }
  try {
    return { geojson: JSON.parse(text) as { type: string } };
  } catch (error) {
    throw new CommandError(
      `${what} is not valid JSON: ${plain((error as Error).message)}`,
      exitCode,
    );
  }
}
