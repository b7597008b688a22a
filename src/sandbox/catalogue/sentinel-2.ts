/**
 * Sentinel-2 by rule. Which satellite passes over a tile, on which day, in which relative orbit and with
 * which orbit number follows from two real passes (S2B orbit 10759 and S2A orbit 19739, both R008) and
 * from 143 orbits in 10 days; baselines and sizes are those of real products of the years in question.
 */
import { tileCentre, tileFootprint } from './footprint.js';
import { attributeList, type CatalogueProduct, type OdataAttribute } from './product.js';
import { compactTime, dayPath, fraction, hash32, pick, sixDecimals, stableUuid } from './rule.js';

/** Around Casablanca first, so that the smallest catalogue has the demo's area; 01KAB lies on the antimeridian. */
export const sentinel2Tiles = [
  '29SPT',
  '29SPS',
  '29SNT',
  '29SPC',
  '31UFS',
  '31UES',
  '30TVN',
  '33XWG',
  '01KAB',
  '54PXA',
  '46RER',
  '19UDP',
  '31TDH',
  '29RKH',
  '07HFE',
  '42FXL',
  '13VEK',
] as const;

const dayMs = 86_400_000;
/** A known pass of each satellite in relative orbit 8, from which all others are counted. */
const anchors = {
  A: { dayMs: Date.UTC(2019, 3, 3), orbit: 19_739 },
  B: { dayMs: Date.UTC(2019, 2, 29), orbit: 10_759 },
} as const;

/** Longitude of R008 at 51.33° N, and its time of day there. */
const track = { longitude: 6.52, latitude: 51.33, secondOfDay: 38_429 };
const halfWidthKm = 270;

interface Pass {
  satellite: 'A' | 'B';
  relativeOrbit: number;
  orbitNumber: number;
  startMs: number;
}

/** All passes over a tile on one UTC day (`dayStartMs` is its midnight). */
export function passesOver(tile: string, dayStartMs: number): Pass[] {
  const [lon, lat] = tileCentre(tile);
  const middle = (track.longitude - westwardShift(lat) - lon) / (360 / 143);
  const reach = halfWidthKm / (111.3 * Math.cos((lat * Math.PI) / 180)) / (360 / 143);
  const passes: Pass[] = [];
  for (let step = Math.ceil(middle - reach); step <= Math.floor(middle + reach); step += 1) {
    const later = ((step * 43) % 143) + (step < 0 ? 143 : 0);
    for (const satellite of ['A', 'B'] as const) {
      const anchor = anchors[satellite];
      const days = Math.round((dayStartMs - anchor.dayMs) / dayMs) - Math.round(later / 14.3);
      if (days % 10 !== 0) continue;
      const second = (((track.secondOfDay + step * 604.2) % 86_400) + 86_400) % 86_400;
      passes.push({
        satellite,
        relativeOrbit: ((7 + later) % 143) + 1,
        orbitNumber: anchor.orbit + (days / 10) * 143 + later,
        startMs: dayStartMs + Math.round(second) * 1000 + 24,
      });
    }
  }
  return passes;
}

/** How far west of its place at 51.33° N a descending track is at this latitude, in degrees. */
function westwardShift(latitude: number): number {
  const east = (lat: number): number => {
    const sine = Math.tan((lat * Math.PI) / 180) / 6.6;
    return (Math.asin(Math.max(-1, Math.min(1, sine))) * 180) / Math.PI;
  };
  return east(track.latitude) - east(latitude) + (track.latitude - latitude) * 0.07;
}

/** The products of one tile and day: both levels, and for some passes a second, reprocessed copy. */
export function sentinel2Day(
  seed: number,
  tile: string,
  dayStartMs: number,
  scale: number,
): Omit<CatalogueProduct, 'index'>[] {
  return passesOver(tile, dayStartMs).flatMap((pass) => {
    const again = fraction(`${seed}:again:${tile}:${pass.orbitNumber}`) < 0.12;
    return (['S2MSI2A', 'S2MSI1C'] as const).flatMap((level) => [
      sentinel2Product(seed, tile, pass, level, false, scale),
      ...(again ? [sentinel2Product(seed, tile, pass, level, true, scale)] : []),
    ]);
  });
}

function sentinel2Product(
  seed: number,
  tile: string,
  pass: Pass,
  level: 'S2MSI2A' | 'S2MSI1C',
  reprocessed: boolean,
  scale: number,
): Omit<CatalogueProduct, 'index'> {
  const isL2a = level === 'S2MSI2A';
  const baseline = '0511';
  const key = `${seed}:${tile}:${pass.orbitNumber}:${level}:${reprocessed}`;
  const hours = (isL2a ? 2.2 : 1.1) + fraction(`${key}:hours`) * 2 + (reprocessed ? 900 : 0);
  const generatedMs = Math.floor((pass.startMs + hours * 3_600_000) / 1000) * 1000;
  const name = `S2${pass.satellite}_MSIL${level.slice(-2)}_${compactTime(pass.startMs)}_N${baseline}_R${String(pass.relativeOrbit).padStart(3, '0')}_T${tile}_${compactTime(generatedMs)}.SAFE`;
  const cloudCover = Number(
    (100 * fraction(`${seed}:${tile}:${pass.orbitNumber}:cloud`) ** 1.6).toFixed(6),
  );
  const publicationMs = generatedMs + 1_500_000 + (hash32(`${key}:published`) % 3_600_000);
  const fullBytes = (isL2a ? 1_020_000_000 : 760_000_000) + (hash32(`${key}:size`) % 190_000_000);
  return {
    id: stableUuid(`${seed}:${name}`),
    name,
    collection: 'SENTINEL-2',
    productType: level,
    startMs: pass.startMs,
    endMs: pass.startMs,
    originMs: publicationMs - 420_000,
    publicationMs,
    modificationMs: publicationMs + 61_000,
    online: true,
    lengthKnown: true,
    checksums: 'md5-blake3',
    footprint: tileFootprint(tile, pick([null, null, 0, 1, 2, 3], `${pass.relativeOrbit}:${tile}`)),
    s3Path: `/eodata/Sentinel-2/MSI/L${level.slice(-2)}/${dayPath(pass.startMs)}/${name}`,
    form: isL2a ? 'safe-s2-l2a' : 'safe-s2-l1c',
    aboutBytes: fullBytes * scale,
    quicklookId: stableUuid(`${seed}:${name}:quicklook`),
    attributes: () => sentinel2Attributes(tile, pass, level, baseline, cloudCover, generatedMs),
  };
}

function sentinel2Attributes(
  tile: string,
  pass: Pass,
  level: string,
  baseline: string,
  cloudCover: number,
  generatedMs: number,
): OdataAttribute[] {
  const dotted = `${baseline.slice(0, 2)}.${baseline.slice(2)}`;
  const start = compactTime(pass.startMs);
  return attributeList([
    ['origin', 'String', 'ESA'],
    ['tileId', 'String', tile],
    ['cloudCover', 'Double', cloudCover],
    [
      'datastripId',
      'String',
      `S2${pass.satellite}_OPER_MSI_L${level.slice(-2)}_DS_2BPS_${compactTime(generatedMs)}_S${start}_N${dotted}`,
    ],
    ['orbitNumber', 'Integer', pass.orbitNumber],
    ['processingDate', 'DateTimeOffset', sixDecimals(generatedMs)],
    [
      'productGroupId',
      'String',
      `GS2${pass.satellite}_${start}_${String(pass.orbitNumber).padStart(6, '0')}_N${dotted}`,
    ],
    ['operationalMode', 'String', 'INS-NOBS'],
    ['processingLevel', 'String', level],
    ['processorVersion', 'String', dotted],
    ['platformShortName', 'String', 'SENTINEL-2'],
    ['instrumentShortName', 'String', 'MSI'],
    ['relativeOrbitNumber', 'Integer', pass.relativeOrbit],
    ['platformSerialIdentifier', 'String', pass.satellite],
    ['productType', 'String', level],
    ['beginningDateTime', 'DateTimeOffset', sixDecimals(pass.startMs)],
    ['endingDateTime', 'DateTimeOffset', sixDecimals(pass.startMs)],
  ]);
}
