/**
 * What Copernicus offers and allows, as data. Taken from the operator's documentation as it stood in 2026; the service changes about monthly, so
 * the list of product types advises people and refuses nothing, while the collections are checked.
 */
export interface CollectionFacts {
  id: string;
  title: string;
  productTypes: string[];
  /** Whether its products say how cloudy they are; false only where that is certain. */
  hasClouds: boolean;
}

const collection = (
  id: string,
  title: string,
  productTypes: string[],
  hasClouds = true,
): CollectionFacts => ({ id, title, productTypes, hasClouds });

export const COLLECTIONS: readonly CollectionFacts[] = [
  collection(
    'SENTINEL-1',
    'Sentinel-1: C-band radar',
    [
      ...['IW', 'EW'].flatMap((mode) => [`${mode}_SLC__1S`, `${mode}_RAW__0S`, `${mode}_OCN__2S`]),
      ...[
        'IW_GRDH_1S',
        'IW_GRDH_1S-COG',
        'EW_GRDM_1S',
        'EW_GRDM_1S-COG',
        'WV_SLC__1S',
        'WV_OCN__2S',
      ],
      ...['AUX_POEORB', 'AUX_RESORB', 'AUX_PREORB'],
    ],
    false,
  ),
  collection('SENTINEL-1-RTC', 'Sentinel-1: radiometrically terrain corrected', [], false),
  collection('SENTINEL-2', 'Sentinel-2: multispectral, 10 to 60 m', ['S2MSI1C', 'S2MSI2A']),
  collection('SENTINEL-3', 'Sentinel-3: ocean and land', [
    ...['OL_1_EFR___', 'OL_1_ERR___', 'OL_2_LFR___', 'OL_2_LRR___', 'OL_2_WFR___', 'OL_2_WRR___'],
    ...['SL_1_RBT___', 'SL_2_LST___', 'SL_2_WST___', 'SL_2_FRP___', 'SR_2_LAN___', 'SR_2_WAT___'],
    ...['SY_2_SYN___', 'SY_2_V10___', 'SY_2_VG1___', 'SY_2_VGP___'],
  ]),
  collection('SENTINEL-5P', 'Sentinel-5P: atmosphere', [
    ...['L2__NO2___', 'L2__CO____', 'L2__O3____', 'L2__SO2___', 'L2__HCHO__', 'L2__CH4___'],
    ...['L2__CLOUD_', 'L2__AER_AI', 'L2__AER_LH'],
  ]),
  collection('SENTINEL-6', 'Sentinel-6: sea level', ['P4_1B_LR_____', 'P4_2__LR_____'], false),
  collection('GLOBAL-MOSAICS', 'Global mosaics by quarter', ['S2MSI_L3__MCQ', 'S1SAR_L3_IW_MCM']),
  collection('COP-DEM', 'Copernicus digital elevation model', ['DGE_30', 'DGE_90'], false),
  collection('CCM', 'Copernicus contributing missions', []),
  collection('LANDSAT-5', 'Landsat 5', []),
  collection('LANDSAT-7', 'Landsat 7', []),
  collection('LANDSAT-8', 'Landsat 8', []),
  collection('ENVISAT', 'Envisat', []),
  collection('SMOS', 'SMOS: soil moisture and ocean salinity', [], false),
  collection('TERRAAQUA', 'Terra and Aqua', []),
  collection('S2GLC', 'Sentinel-2 global land cover', [], false),
];

/** A page of the catalogue, and the deepest `$skip` that it takes. */
export const PAGE_SIZE_MAX = 1000;
export const SKIP_MAX = 10_000;
/** Of one connection, for a general user. */
export const BYTES_PER_SECOND_PER_CONNECTION = 20_000_000;
