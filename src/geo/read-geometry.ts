/**
 * What the readers of WKT and GeoJSON hand over: positions as they were sent, with the words to name each vertex by.
 * Nothing is repaired here. Reading takes time linear in the input, whatever the input is.
 */
import { ServiceError } from '../jobs/error-codes.js';
import type { Position } from './planar.js';

export const MAX_VERTICES = 5_000;

export type PartKind = 'point' | 'line' | 'polygon';

export interface ReadPart {
  kind: PartKind;
  /** Where it stands in the request, e.g. `aoi.geojson.features.2.geometry`. */
  path: string;
  /** How messages name it beside others, e.g. `polygon 2`; empty when it is alone. */
  label: string;
  /** A point is one list of one position, a line one list; a polygon has one for each ring, as sent. */
  lists: Position[][];
}

export interface ReadGeometry {
  parts: ReadPart[];
  /** What reading itself changed, in words. */
  notes: string[];
}

/** InvalidInput about one field of the request. */
export function invalidInput(path: string, message: string): ServiceError {
  return new ServiceError('InvalidInput', message, { details: { errors: [{ path, message }] } });
}

function capitalise(text: string): string {
  return text[0]!.toUpperCase() + text.slice(1);
}

/** `Vertex 3 of ring 1 of polygon 2`; everything is counted from 1. */
export function vertexName(
  part: Pick<ReadPart, 'kind' | 'label'>,
  list: number,
  vertex: number,
): string {
  const own = part.kind === 'point' ? '' : `vertex ${vertex + 1}`;
  const ring = part.kind === 'polygon' ? `ring ${list + 1}` : '';
  const name = [own, ring, part.label].filter((word) => word !== '').join(' of ');
  return capitalise(name || 'the point');
}

/** Collects parts while a reader walks through its input. */
export class GeometryCollector {
  private readonly parts: ReadPart[] = [];
  private vertices = 0;
  private hasHeights = false;
  private mergedFrom = '';

  add(part: ReadPart): void {
    this.parts.push(part);
  }

  /** The first two numbers as a position; a third and fourth are height and measure, and are dropped. */
  position(values: number[], path: string, name: () => string): Position {
    this.vertices++;
    if (values.length < 2 || values.length > 4)
      throw invalidInput(
        path,
        `${name()} has ${values.length} numbers: longitude and latitude are needed`,
      );
    const odd = values.find((value) => !Number.isFinite(value));
    if (odd !== undefined) throw invalidInput(path, `${name()}: ${odd} is not a coordinate`);
    if (values.length > 2) this.hasHeights = true;
    return [values[0]!, values[1]!];
  }

  merged(what: string): void {
    this.mergedFrom = what;
  }

  /** Refuses what is empty, too long, or of several kinds. */
  finish(path: string): ReadGeometry {
    if (this.parts.length === 0) throw invalidInput(path, 'The area is empty');
    if (this.vertices > MAX_VERTICES)
      throw invalidInput(
        path,
        `The area has ${this.vertices} vertices, at most ${MAX_VERTICES} are taken: simplify it`,
      );
    const kinds = [...new Set(this.parts.map((part) => `${part.kind}s`))];
    if (kinds.length > 1)
      throw invalidInput(
        path,
        `${capitalise(kinds.join(' and '))} cannot be merged into one area: send one kind`,
      );
    const notes: string[] = [];
    if (this.hasHeights) notes.push('Heights or measures (third and fourth coordinates) dropped');
    if (this.mergedFrom !== '') notes.push(`${this.mergedFrom} merged into one area`);
    return { parts: this.parts, notes };
  }
}
