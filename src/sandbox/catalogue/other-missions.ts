/** A little of Sentinel-3 (folders in a zip, netCDF inside) and Sentinel-5P (one bare netCDF file), by rule. */
import { sliceFootprint } from './footprint.js';
import { attributeList, type CatalogueProduct } from './product.js';
import { compactTime, dayPath, hash32, sixDecimals, stableUuid } from './rule.js';

type NewProduct = Omit<CatalogueProduct, 'index'>;

/** One Sentinel-3 land product and one Sentinel-5P nitrogen dioxide product a day. */
export function otherMissionsDay(seed: number, dayStartMs: number, scale: number): NewProduct[] {
  const day = Math.round(dayStartMs / 86_400_000);
  return [
    olci(seed, day, dayStartMs + 39_600_000, scale),
    no2(seed, day, dayStartMs + 45_000_000, scale),
  ];
}

function olci(seed: number, day: number, startMs: number, scale: number): NewProduct {
  const endMs = startMs + 180_000;
  const name = `S3A_OL_2_LFR____${compactTime(startMs)}_${compactTime(endMs)}_${compactTime(endMs + 90_000_000)}_0179_${100 + (day % 27)}_${String(1 + ((day * 14) % 385)).padStart(3, '0')}_1980_PS1_O_NT_002.SEN3`;
  const ascending = false;
  return {
    ...common(seed, name, 'SENTINEL-3', 'OL_2_LFR___', startMs, endMs),
    footprint: sliceFootprint([((day * 37) % 340) - 170, 35], 10, ascending),
    s3Path: `/eodata/Sentinel-3/OLCI/OL_2_LFR___/${dayPath(startMs)}/${name}`,
    form: 'sen3',
    aboutBytes: (170e6 + (hash32(`${name}:size`) % 30_000_000)) * scale,
  };
}

function no2(seed: number, day: number, startMs: number, scale: number): NewProduct {
  const endMs = startMs + 6_100_000;
  const name = `S5P_OFFL_L2__NO2____${compactTime(startMs)}_${compactTime(endMs)}_${String(21_566 + (day % 20_000)).padStart(5, '0')}_03_020800_${compactTime(endMs + 120_000_000)}.nc`;
  return {
    ...common(seed, name, 'SENTINEL-5P', 'L2__NO2___', startMs, endMs),
    footprint: sliceFootprint([((day * 61) % 300) - 150, 0], 60, true),
    s3Path: `/eodata/Sentinel-5P/TROPOMI/L2__NO2___/${dayPath(startMs)}/${name}`,
    form: 'netcdf',
    aboutBytes: (610e6 + (hash32(`${name}:size`) % 20_000_000)) * scale,
  };
}

function common(
  seed: number,
  name: string,
  collection: string,
  productType: string,
  startMs: number,
  endMs: number,
) {
  const publicationMs = endMs + 130_000_000 + (hash32(`${seed}:${name}:published`) % 1_800_000);
  return {
    id: stableUuid(`${seed}:${name}`),
    name,
    collection,
    productType,
    startMs,
    endMs,
    originMs: publicationMs - 190_000,
    publicationMs,
    modificationMs: publicationMs,
    online: true,
    lengthKnown: true,
    checksums: 'md5-blake3' as const,
    quicklookId: null,
    attributes: () =>
      attributeList([
        ['origin', 'String', 'ESA'],
        ['platformShortName', 'String', collection],
        ['processingDate', 'DateTimeOffset', sixDecimals(publicationMs)],
        ['productType', 'String', productType],
        ['beginningDateTime', 'DateTimeOffset', sixDecimals(startMs)],
        ['endingDateTime', 'DateTimeOffset', sixDecimals(endMs)],
      ]),
  };
}
