/**
 * What lies inside a delivered product: member paths, how the bytes are shared out among them, and the manifest
 * that lists them with size and digest. Paths are those of real products; the bulk members hold content by rule.
 */
import type { CatalogueProduct } from '../catalogue/product.js';
import { compactTime, hash32 } from '../catalogue/rule.js';
import { bufferSource, patternSource, type ByteSource } from './byte-source.js';

export interface Member {
  /** Relative to the product's folder, without a leading `./`. */
  path: string;
  mimeType: string;
  source: ByteSource;
}

export interface ProductFolder {
  manifestName: 'manifest.safe' | 'xfdumanifest.xml';
  digest: 'md5' | 'sha3-256';
  members: Member[];
}

/** Path and share of the product's bytes. A share of 0 makes a small text file. */
type Plan = [path: string, share: number];

const signatures: [ending: string, head: Buffer, mimeType: string][] = [
  ['.jp2', Buffer.from('0000000c6a5020200d0a870a', 'hex'), 'application/octet-stream'],
  ['.tiff', Buffer.from('49492a00', 'hex'), 'application/octet-stream'],
  ['.nc', Buffer.from('894844460d0a1a0a', 'hex'), 'application/x-netcdf'],
  ['.png', Buffer.from('89504e470d0a1a0a', 'hex'), 'image/png'],
  ['.jpg', Buffer.from('ffd8ffe000104a464946', 'hex'), 'image/jpeg'],
];

/** @param salt tells versions of the content apart; '' is the catalogue's own */
export function productFolder(
  product: CatalogueProduct,
  pool: Buffer,
  salt: string,
): ProductFolder {
  const { plan, ...rest } = folderPlan(product);
  const shares = plan.reduce((sum, [, share]) => sum + share, 0);
  const members = plan.map(([path, share]): Member => {
    const [, head, mimeType] = signatures.find(([ending]) => path.endsWith(ending)) ?? [];
    if (!head || share === 0)
      return { path, mimeType: 'text/xml', source: bufferSource(metadata(product, path, salt)) };
    const sizeBytes = Math.max(64, Math.round((product.aboutBytes * share) / shares));
    const key = hash32(`${product.id}/${path}${salt}`);
    return { path, mimeType: mimeType!, source: patternSource(pool, key, sizeBytes, head) };
  });
  return { ...rest, members };
}

function folderPlan(product: CatalogueProduct): Omit<ProductFolder, 'members'> & { plan: Plan[] } {
  const safe = { manifestName: 'manifest.safe', digest: 'sha3-256' } as const;
  switch (product.form) {
    case 'safe-s2-l2a':
      return { ...safe, plan: level2a(product) };
    case 'safe-s2-l1c':
      return { ...safe, plan: level1c(product) };
    case 'safe-s1':
      return { ...safe, digest: 'md5', plan: radar(product) };
    case 'safe-aux':
      return {
        ...safe,
        digest: 'md5',
        plan: [
          ['data/s1a-aux-ins.xml', 0],
          ['support/s1-aux-ins.xsd', 0],
        ],
      };
    case 'sen3':
      return { manifestName: 'xfdumanifest.xml', digest: 'md5', plan: olci() };
    default:
      return { ...safe, plan: [[`GRANULE/${product.name.slice(38, 44)}/B04.jp2`, 1]] };
  }
}

const bands20 = ['B01', 'B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B8A', 'B11', 'B12'];

function level2a(product: CatalogueProduct): Plan[] {
  const { tile, start, granule, head } = sentinel2Names(product, 'L2A');
  const image = (metres: number, layers: string[], share: number): Plan[] =>
    layers.map((layer) => [
      `GRANULE/${granule}/IMG_DATA/R${metres}m/${tile}_${start}_${layer}_${metres}m.jp2`,
      share,
    ]);
  const masks = ['MSK_CLDPRB', 'MSK_SNWPRB'].flatMap((mask): Plan[] => [
    [`GRANULE/${granule}/QI_DATA/${mask}_20m.jp2`, 2],
    [`GRANULE/${granule}/QI_DATA/${mask}_60m.jp2`, 0.3],
  ]);
  return [
    ...head,
    ...image(10, ['AOT', 'WVP'], 2),
    ...image(10, ['B02', 'B03', 'B04', 'B08', 'TCI'], 120),
    ...image(20, [...bands20, 'TCI'], 32),
    ...image(20, ['AOT', 'SCL', 'WVP'], 1.5),
    ...image(60, [...bands20, 'B09', 'TCI'], 3.6),
    ...image(60, ['AOT', 'SCL', 'WVP'], 0.4),
    ...masks,
    [`GRANULE/${granule}/QI_DATA/${tile}_${start}_PVI.jp2`, 0.1],
  ];
}

function level1c(product: CatalogueProduct): Plan[] {
  const { tile, start, granule, head } = sentinel2Names(product, 'L1C');
  const bands: [string, number][] = [
    ...['B02', 'B03', 'B04', 'B08', 'TCI'].map((band): [string, number] => [band, 110]),
    ...['B05', 'B06', 'B07', 'B8A', 'B11', 'B12'].map((band): [string, number] => [band, 30]),
    ...['B01', 'B09', 'B10'].map((band): [string, number] => [band, 3]),
  ];
  return [
    ...head,
    ...bands.map(([band, share]): Plan => [
      `GRANULE/${granule}/IMG_DATA/${tile}_${start}_${band}.jp2`,
      share,
    ]),
    [`GRANULE/${granule}/QI_DATA/${tile}_${start}_PVI.jp2`, 0.1],
  ];
}

/** Names that all files of a Sentinel-2 product share, and its metadata files. */
function sentinel2Names(product: CatalogueProduct, level: 'L1C' | 'L2A') {
  const tile = product.name.slice(38, 44);
  const start = product.name.slice(11, 26);
  const orbit = product
    .attributes()
    .find((attribute) => attribute.Name === 'orbitNumber')!
    .Value.toString()
    .padStart(6, '0');
  const granule = `${level}_${tile}_A${orbit}_${start}`;
  const datastrip = `DS_2BPS_${product.name.slice(45, 60)}_S${start}`;
  const head: Plan[] = [
    [`MTD_MSI${level}.xml`, 0],
    ['INSPIRE.xml', 0],
    [`DATASTRIP/${datastrip}/MTD_DS.xml`, 0],
    [`DATASTRIP/${datastrip}/QI_DATA/GEOMETRIC_QUALITY.xml`, 0],
    [`GRANULE/${granule}/MTD_TL.xml`, 0],
    [`GRANULE/${granule}/QI_DATA/GENERAL_QUALITY.xml`, 0],
  ];
  return { tile, start, granule, head };
}

function radar(product: CatalogueProduct): Plan[] {
  const [mission, mode] = [product.name.slice(0, 3), product.name.slice(4, 6)].map((part) =>
    part.toLowerCase(),
  );
  const kind = product.name.slice(7, 10).toLowerCase();
  const tail = product.name.slice(17, 62).toLowerCase().replaceAll('_', '-');
  const channels = product.name[15] === 'H' ? ['hh', 'hv'] : ['vv', 'vh'];
  return [
    ...channels.flatMap((channel, at): Plan[] => {
      const stem = `${mission}-${mode}-${kind}-${channel}-${tail}-00${at + 1}`;
      return [
        [`annotation/${stem}.xml`, 0],
        [`annotation/calibration/calibration-${stem}.xml`, 0],
        [`annotation/calibration/noise-${stem}.xml`, 0],
        [`measurement/${stem}.tiff`, 500],
      ];
    }),
    ['preview/quick-look.png', 0.2],
    ['preview/map-overlay.kml', 0],
    ['support/s1-level-1-product.xsd', 0],
  ];
}

function olci(): Plan[] {
  const bands = Array.from({ length: 12 }, (_, at): Plan => [
    `Oa${String(at + 1).padStart(2, '0')}_reflectance.nc`,
    10,
  ]);
  return [...bands, ['geo_coordinates.nc', 14], ['tie_meteo.nc', 3], ['wqsf.nc', 6]];
}

function metadata(product: CatalogueProduct, path: string, salt: string): Buffer {
  const rows = product
    .attributes()
    .map(({ Name, Value }) => `  <${Name}>${escapeXml(String(Value))}</${Name}>\n`);
  return Buffer.from(
    `<?xml version="1.0" encoding="UTF-8"?>\n<metadata file="${escapeXml(path)}" product="${escapeXml(product.name)}" version="${escapeXml(salt)}">\n${rows.join('')}</metadata>\n`,
  );
}

export function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

/** The manifest's text. Its length depends on paths and sizes alone, since digests of one kind are equally long. */
export function manifestText(
  product: CatalogueProduct,
  folder: ProductFolder,
  digests: readonly Buffer[],
): string {
  const name = folder.digest === 'md5' ? 'MD5' : 'SHA3-256';
  const objects = folder.members.map((member, at) => {
    const hex = digests[at]!.toString('hex');
    return [
      `    <dataObject ID="file_${at + 1}">`,
      `      <byteStream mimeType="${member.mimeType}" size="${member.source.sizeBytes}">`,
      `        <fileLocation locatorType="URL" href="./${escapeXml(member.path)}"/>`,
      `        <checksum checksumName="${name}">${name === 'MD5' ? hex : hex.toUpperCase()}</checksum>`,
      '      </byteStream>',
      '    </dataObject>',
    ].join('\n');
  });
  return [
    '<?xml version="1.0" encoding="UTF-8" standalone="no"?>',
    '<xfdu:XFDU xmlns:xfdu="urn:ccsds:schema:xfdu:1" xmlns:safe="http://www.esa.int/safe/sentinel/1.1" version="esa/safe/sentinel/1.1">',
    `  <informationPackageMap><xfdu:contentUnit textInfo="${escapeXml(product.name)}" unitType="SAFE Archive Information Package"/></informationPackageMap>`,
    `  <metadataSection><metadataObject ID="acquisitionPeriod" category="DMD"><metadataWrap><xmlData><safe:acquisitionPeriod><safe:startTime>${compactTime(product.startMs)}</safe:startTime></safe:acquisitionPeriod></xmlData></metadataWrap></metadataObject></metadataSection>`,
    '  <dataObjectSection>',
    ...objects,
    '  </dataObjectSection>',
    '</xfdu:XFDU>',
    '',
  ].join('\n');
}
