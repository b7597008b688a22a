/** Tiles of a grid, by place or by name. */
import { searchTiles, tilesInBbox } from '../../geo/mgrs-tiles.js';
import { ServiceError } from '../../jobs/error-codes.js';
import type { Mount } from '../mount.js';
import { operations } from '../operations.js';

const MOST_TILES = 1_000;

export function tilesRoutes(mount: Mount): void {
  mount(operations.listTiles, ({ query, response }) => {
    const { bbox, q } = query;
    if ((bbox === undefined) === (q === undefined))
      throw new ServiceError('BadRequest', 'Give either bbox or q');
    const tiles = bbox ? tilesInBbox(bbox, MOST_TILES) : searchTiles(q!, MOST_TILES);
    response.type('application/geo+json').send(JSON.stringify(tiles));
  });
}
