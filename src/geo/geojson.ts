/**
 * GeoJSON, read: a geometry, a Feature, a FeatureCollection or a GeometryCollection whose members are of one kind.
 * Coordinates are longitude first, WGS 84; an old `crs` member that says otherwise is refused.
 * @see RFC 7946 §3, §4
 */
import {
  GeometryCollector,
  invalidInput,
  vertexName,
  type PartKind,
  type ReadGeometry,
} from './read-geometry.js';
import type { Position } from './planar.js';

const TYPES: Record<string, { kind: PartKind; multi: boolean }> = {
  Point: { kind: 'point', multi: false },
  LineString: { kind: 'line', multi: false },
  Polygon: { kind: 'polygon', multi: false },
  MultiPoint: { kind: 'point', multi: true },
  MultiLineString: { kind: 'line', multi: true },
  MultiPolygon: { kind: 'polygon', multi: true },
};

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function toList(value: unknown, path: string, what: string): unknown[] {
  if (!Array.isArray(value)) throw invalidInput(path, `${what} must be a list`);
  return value;
}

/** Short, and never deeper than one level: what is refused may be nested a million times. */
function quote(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (isObject(value)) return 'an object';
  return (JSON.stringify(value) ?? 'nothing').slice(0, 30);
}

function refuseOtherCrs(document: Record<string, unknown>, path: string): void {
  const crs = document['crs'];
  if (crs === undefined || crs === null) return;
  const properties = isObject(crs) && isObject(crs['properties']) ? crs['properties'] : {};
  const name = properties['name'];
  if (typeof name !== 'string' || !/(CRS84|EPSG:{1,2}4326)$/i.test(name.slice(0, 100)))
    throw invalidInput(
      `${path}.crs`,
      `The reference system ${quote(name)} is not taken: send WGS 84`,
    );
}

class Reader {
  readonly collector = new GeometryCollector();

  private positions(
    value: unknown,
    part: { kind: PartKind; label: string },
    list: number,
    path: string,
  ) {
    return toList(value, path, 'The coordinates').map((position, vertex): Position => {
      const name = () => vertexName(part, list, vertex);
      const numbers = toList(position, path, name()).map((number) => {
        if (typeof number !== 'number')
          throw invalidInput(path, `${name()}: ${quote(number)} is not a number`);
        return number;
      });
      return this.collector.position(numbers, path, name);
    });
  }

  private part(value: unknown, kind: PartKind, label: string, path: string): void {
    const part = { kind, label };
    const lists =
      kind === 'polygon'
        ? toList(value, path, 'The coordinates').map((ring, i) =>
            this.positions(ring, part, i, path),
          )
        : [this.positions(kind === 'point' ? [value] : value, part, 0, path)];
    this.collector.add({ kind, label, path, lists });
  }

  geometry(value: unknown, owner: string, path: string): void {
    if (!isObject(value)) throw invalidInput(path, `${owner || 'The area'} has no geometry`);
    const typeName = value['type'];
    const type =
      typeof typeName === 'string' && Object.hasOwn(TYPES, typeName) ? TYPES[typeName] : undefined;
    if (!type)
      throw invalidInput(
        path,
        `The type ${quote(typeName)} is not known here: use Point, LineString, Polygon or their Multi forms`,
      );
    const coordinates = toList(value['coordinates'], path, 'The coordinates');
    if (coordinates.length === 0) return;
    if (!type.multi) return this.part(coordinates, type.kind, owner, path);
    const suffix = owner === '' ? '' : ` of ${owner}`;
    coordinates.forEach((member, i) =>
      this.part(member, type.kind, `${type.kind} ${i + 1}${suffix}`, path),
    );
  }

  members(
    type: string,
    value: unknown,
    path: string,
    geometryOf: (member: unknown) => unknown,
  ): void {
    const isFeature = type === 'FeatureCollection';
    const [list, word] = isFeature ? ['features', 'feature'] : ['geometries', 'member'];
    const members = toList(value, `${path}.${list}`, list);
    members.forEach((member, i) =>
      this.geometry(
        geometryOf(member),
        `${word} ${i + 1}`,
        `${path}.${list}.${i}${isFeature ? '.geometry' : ''}`,
      ),
    );
    if (members.length > 1) this.collector.merged(`${type} of ${members.length} ${word}s`);
  }
}

/**
 * Reads one document. InvalidInput (paths below `aoi.geojson`) names the vertex for what cannot be read, the count for
 * more than 5,000 vertices. Foreign members and properties are ignored.
 */
export function readGeoJson(document: Record<string, unknown>): ReadGeometry {
  const path = 'aoi.geojson';
  const reader = new Reader();
  refuseOtherCrs(document, path);
  const geometryOf = (feature: unknown) => (isObject(feature) ? feature['geometry'] : undefined);
  switch (document['type']) {
    case 'Feature':
      reader.geometry(document['geometry'], '', `${path}.geometry`);
      break;
    case 'FeatureCollection':
      reader.members('FeatureCollection', document['features'], path, geometryOf);
      break;
    case 'GeometryCollection':
      reader.members('GeometryCollection', document['geometries'], path, (member) => member);
      break;
    default:
      reader.geometry(document, '', path);
  }
  return reader.collector.finish(path);
}
