/**
 * Sentinel-1 by rule: ground-range and single-look slices, and what a bare query of the collection brings
 * along: orbit files, instrument auxiliary files and GNSS records, none of which has a footprint.
 */
import { sliceFootprint, type Position } from './footprint.js';
import { attributeList, type CatalogueProduct, type OdataAttribute } from './product.js';
import { compactTime, dayPath, hash32, pick, sixDecimals, stableUuid } from './rule.js';

type NewProduct = Omit<CatalogueProduct, 'index'>;

const dayMs = 86_400_000;
/** A real pass: S1A, orbit 62567, 2026-01-01T01:25Z; 175 orbits in 12 days. */
const anchor = { atMs: Date.UTC(2026, 0, 1, 1, 25), orbit: 62_567 };

const places: Position[] = [
  [-7.4, 33.2],
  [4.6, 51.1],
  [-3.6, 42.8],
  [15.8, 77.6],
  [179.6, -16.9],
  [-76.2, -53.1],
  [-97.2, 18.9],
  [13.4, 45.3],
];

interface SliceKind {
  type: string;
  mode: 'IW' | 'EW';
  prefix: string;
  bytes: number;
  polarisation: string;
}

const kinds: SliceKind[] = [
  { type: 'IW_GRDH_1S', mode: 'IW', prefix: 'IW_GRDH_1SDV', bytes: 1_700e6, polarisation: 'VV&VH' },
  { type: 'IW_GRDH_1S', mode: 'IW', prefix: 'IW_GRDH_1SDV', bytes: 1_980e6, polarisation: 'VV&VH' },
  { type: 'IW_SLC__1S', mode: 'IW', prefix: 'IW_SLC__1SDV', bytes: 7_860e6, polarisation: 'VV&VH' },
  { type: 'EW_GRDM_1S', mode: 'EW', prefix: 'EW_GRDM_1SDH', bytes: 640e6, polarisation: 'HH&HV' },
];

/** Everything of Sentinel-1 that begins on one UTC day. */
export function sentinel1Day(seed: number, dayStartMs: number, scale: number): NewProduct[] {
  const slices = Array.from({ length: 4 }, (_, number) => {
    const key = `${seed}:s1:${dayStartMs}:${number}`;
    const secondOfDay = (number * 6 + (hash32(key) % 5)) * 3600 + (hash32(`${key}:s`) % 3600);
    const kind = number === 3 ? kinds[3]! : pick(kinds.slice(0, 3), `${key}:kind`);
    const place = kind.mode === 'EW' ? places[3]! : pick(places, `${key}:place`);
    return slice(seed, kind, place, dayStartMs + secondOfDay * 1000 + 74, scale);
  });
  return [...slices, ...auxiliaryDay(seed, dayStartMs, scale)];
}

function slice(
  seed: number,
  kind: SliceKind,
  place: Position,
  startMs: number,
  scale: number,
): NewProduct {
  const endMs = startMs + (kind.mode === 'EW' ? 60_000 : 25_000) - 1;
  const orbit = anchor.orbit + Math.round(((startMs - anchor.atMs) / dayMs) * (175 / 12));
  const datatake = hash32(`${seed}:${orbit}`) % 0xfffff;
  const tail = hash32(`${seed}:${startMs}:tail`) % 0xffff;
  const hex = (value: number, width: number): string =>
    value.toString(16).toUpperCase().padStart(width, '0');
  const name = `S1A_${kind.prefix}_${compactTime(startMs)}_${compactTime(endMs)}_${String(orbit).padStart(6, '0')}_${hex(datatake, 6)}_${hex(tail, 4)}.SAFE`;
  const ascending = hash32(`${seed}:${startMs}:direction`) % 2 === 0;
  return {
    ...dated(seed, name, startMs, endMs, endMs + 3_200_000),
    productType: kind.type,
    footprint: sliceFootprint(place, kind.mode === 'EW' ? 3.6 : 1.6, ascending),
    s3Path: `/eodata/Sentinel-1/SAR/${kind.type}/${dayPath(startMs)}/${name}`,
    form: 'safe-s1',
    aboutBytes: (kind.bytes + (hash32(`${name}:size`) % 60_000_000)) * scale,
    quicklookId: stableUuid(`${seed}:${name}:quicklook`),
    attributes: () => sliceAttributes(kind, startMs, endMs, orbit, datatake, ascending),
  };
}

function sliceAttributes(
  kind: SliceKind,
  startMs: number,
  endMs: number,
  orbit: number,
  datatake: number,
  ascending: boolean,
): OdataAttribute[] {
  return attributeList([
    ['origin', 'String', 'ESA'],
    ['datatakeID', 'Integer', datatake],
    ['timeliness', 'String', 'Fast-24h'],
    ['cycleNumber', 'Integer', Math.floor(orbit / 175)],
    ['orbitNumber', 'Integer', orbit],
    ['sliceNumber', 'Integer', 1 + (orbit % 7)],
    ['totalSlices', 'Integer', 7],
    ['productClass', 'String', 'S'],
    ['processorName', 'String', 'Sentinel-1 IPF'],
    ['orbitDirection', 'String', ascending ? 'ASCENDING' : 'DESCENDING'],
    ['processingDate', 'DateTimeOffset', sixDecimals(endMs + 3_000_000)],
    ['operationalMode', 'String', kind.mode],
    ['processingLevel', 'String', 'LEVEL1'],
    ['swathIdentifier', 'String', kind.mode],
    ['processorVersion', 'String', '003.80'],
    ['sliceProductFlag', 'Boolean', false],
    ['platformShortName', 'String', 'SENTINEL-1'],
    ['productComposition', 'String', 'Slice'],
    ['instrumentShortName', 'String', 'SAR'],
    ['relativeOrbitNumber', 'Integer', ((orbit - 73) % 175) + 1],
    ['polarisationChannels', 'String', kind.polarisation],
    ['platformSerialIdentifier', 'String', 'A'],
    ['instrumentConfigurationID', 'Integer', 7],
    // An integer number under the type Double, as the service lists it.
    ['startTimeFromAscendingNode', 'Double', (startMs / 1000) % 5_924_000],
    ['productType', 'String', kind.type],
    ['beginningDateTime', 'DateTimeOffset', sixDecimals(startMs)],
    ['endingDateTime', 'DateTimeOffset', sixDecimals(endMs)],
  ]);
}

/** One precise orbit file and two restituted ones a day, GNSS records, and now and then an instrument file. */
function auxiliaryDay(seed: number, dayStartMs: number, scale: number): NewProduct[] {
  const restituted = [3, 14].map((hour) => {
    const from = dayStartMs + hour * 3_600_000 + 1_432_000;
    const until = from + 11_880_000;
    return auxiliary(seed, scale, 'AUX_RESORB', from, until, {
      name: `S1A_OPER_AUX_RESORB_OPOD_${compactTime(until + 900_000)}_V${compactTime(from)}_${compactTime(until)}.EOF`,
      form: 'eof',
      bytes: 590_000,
      createdMs: until + 900_000,
    });
  });
  const from = dayStartMs + 82_782_000;
  const until = from + 93_600_000;
  const precise = auxiliary(seed, scale, 'AUX_POEORB', from, until, {
    name: `S1A_OPER_AUX_POEORB_OPOD_${compactTime(until + 20 * dayMs)}_V${compactTime(from)}_${compactTime(until)}.EOF`,
    form: 'eof',
    bytes: 4_410_000,
    createdMs: until + 20 * dayMs,
  });
  const gnss = auxiliary(seed, scale, 'AUX_GNSSRD', dayStartMs + 5_000, dayStartMs + 86_395_000, {
    name: `S1A_OPER_AUX_GNSSRD_POD__${compactTime(dayStartMs + 20 * dayMs)}_V${compactTime(dayStartMs + 5_000)}_${compactTime(dayStartMs + 86_395_000)}`,
    form: 'tgz',
    bytes: 2_400_000,
    createdMs: dayStartMs + 20 * dayMs,
  });
  if (new Date(dayStartMs).getUTCDate() % 7 !== 0) return [precise, ...restituted, gnss];
  const instrument = auxiliary(seed, scale, 'AUX_INS', dayStartMs, dayStartMs, {
    name: `S1A_AUX_INS_V${compactTime(dayStartMs)}_G${compactTime(dayStartMs + 3 * dayMs)}.SAFE`,
    form: 'safe-aux',
    bytes: 730_000,
    createdMs: dayStartMs + 3 * dayMs,
  });
  return [precise, ...restituted, gnss, instrument];
}

function auxiliary(
  seed: number,
  scale: number,
  type: string,
  startMs: number,
  endMs: number,
  file: { name: string; form: CatalogueProduct['form']; bytes: number; createdMs: number },
): NewProduct {
  return {
    ...dated(seed, file.name, startMs, endMs, file.createdMs),
    productType: type,
    footprint: null,
    s3Path: `/eodata/Sentinel-1/AUX/${type}/${dayPath(startMs)}/${file.name}${file.form === 'safe-aux' ? '.zip' : ''}`,
    form: file.form,
    aboutBytes: file.bytes * scale,
    quicklookId: null,
    attributes: () =>
      attributeList([
        ['origin', 'String', 'ESA'],
        ['processingDate', 'DateTimeOffset', sixDecimals(file.createdMs)],
        ['platformShortName', 'String', 'SENTINEL-1'],
        ['instrumentShortName', 'String', 'AUX'],
        ['platformSerialIdentifier', 'String', 'A'],
        ['productType', 'String', type],
        ['beginningDateTime', 'DateTimeOffset', sixDecimals(startMs)],
        ['endingDateTime', 'DateTimeOffset', sixDecimals(endMs)],
      ]),
  };
}

/** What every product of this collection has in common. */
function dated(seed: number, name: string, startMs: number, endMs: number, createdMs: number) {
  const publicationMs = createdMs + 300_000 + (hash32(`${seed}:${name}:published`) % 1_800_000);
  return {
    id: stableUuid(`${seed}:${name}`),
    name,
    collection: 'SENTINEL-1',
    startMs,
    endMs,
    originMs: publicationMs - 190_000,
    publicationMs,
    modificationMs: publicationMs,
    online: true,
    lengthKnown: true,
    checksums: 'md5-blake3',
  } as const;
}
