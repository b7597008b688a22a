/**
 * A catalogue in memory that answers the addresses of odata-query.ts as the real one does: windows, order, `$top`, `$skip`, a nextLink that
 * is left out near the limit. What it understands of a filter are times, names and nothing else.
 */
export interface FakeItem {
  id: string;
  /** Microseconds since the epoch: finer than what a search can ask for, as in the real catalogue. */
  startUs: number;
  publishedUs: number;
  extra?: Record<string, unknown>;
}

export interface FakeManners {
  skipMax: number;
  topMax?: number;
  /** `asked`: as `$orderby` says, equal keys in the order of the list; `ignored`: in the order of the list; `shuffled`: anew each time. */
  order?: 'asked' | 'ignored' | 'shuffled';
}

export const isoMicros = (us: number): string =>
  `${new Date(Math.floor(us / 1000)).toISOString().slice(0, -1)}${String(us % 1000).padStart(3, '0')}Z`;

export const uuidOf = (index: number): string =>
  `${Math.imul(index + 1, 2654435761) >>> 0}`.padStart(10, '0').slice(-8) +
  `-0000-4000-8000-${String(index).padStart(12, '0')}`;

export const toRecord = (item: FakeItem): Record<string, unknown> => ({
  '@odata.mediaContentType': 'application/octet-stream',
  Id: item.id,
  Name: `PRODUCT_${item.id}.SAFE`,
  ContentLength: 1234,
  PublicationDate: isoMicros(item.publishedUs),
  Online: true,
  Checksum: [],
  ContentDate: { Start: isoMicros(item.startUs), End: isoMicros(item.startUs) },
  Footprint: null,
  GeoFootprint: null,
  ...item.extra,
});

export interface FakeCatalogue {
  answer(url: string): { status: number; body: Record<string, unknown> };
  requests: string[];
}

const bound = (filter: string, field: string, operator: string): number | null => {
  const match = new RegExp(`${field} ${operator} (\\S+Z)`).exec(filter);
  return match ? Date.parse(match[1]!) * 1000 : null;
};

function withinBounds(filter: string, field: string): (valueUs: number) => boolean {
  const from = bound(filter, field, 'ge') ?? -Infinity;
  const to = bound(filter, field, 'lt') ?? Infinity;
  return (valueUs) => valueUs >= from && valueUs < to;
}

export function createFakeCatalogue(items: FakeItem[], manners: FakeManners): FakeCatalogue {
  const requests: string[] = [];
  const byField = (field: 'startUs' | 'publishedUs') =>
    [...items].sort((a, b) => a[field] - b[field]);
  const orders = {
    'ContentDate/Start': byField('startUs'),
    PublicationDate: byField('publishedUs'),
  };

  function inOrder(orderBy: string): FakeItem[] {
    if (manners.order === 'ignored') return items;
    if (manners.order === 'shuffled')
      return items
        .map((item) => ({ item, draw: Math.random() }))
        .sort((a, b) => a.draw - b.draw)
        .map(({ item }) => item);
    return orders[orderBy.replace(/ asc$/, '') as keyof typeof orders];
  }

  return {
    requests,
    answer(url) {
      requests.push(url);
      const { origin, searchParams } = new URL(url);
      const filter = searchParams.get('$filter') ?? '';
      const top = Number(searchParams.get('$top') ?? 20);
      const skip = Number(searchParams.get('$skip') ?? 0);
      if (skip > manners.skipMax)
        return { status: 422, body: { detail: [{ loc: ['query', '$skip'], msg: 'too deep' }] } };
      if (top > (manners.topMax ?? 1000)) return { status: 422, body: { detail: 'top too large' } };
      const names = [...filter.matchAll(/\bName eq '((?:[^']|'')*)'/g)]
        .map(([, name]) => name!.replaceAll("''", "'"))
        .filter((name) => !filter.includes(`Collection/Name eq '${name}'`));
      const started = withinBounds(filter, 'ContentDate/Start');
      const published = withinBounds(filter, 'PublicationDate');
      const matching = inOrder(searchParams.get('$orderby') ?? '')
        .filter((item) => started(item.startUs) && published(item.publishedUs))
        .filter((item) => names.length === 0 || names.includes(String(toRecord(item)['Name'])));
      const end = skip + top;
      const hasLink = end < matching.length && end + top <= manners.skipMax;
      const next = new URL(url);
      next.searchParams.set('$skip', String(end));
      return {
        status: 200,
        body: {
          '@odata.context': '$metadata#Products(Attributes(),Assets())',
          value: matching.slice(skip, end).map(toRecord),
          ...(hasLink ? { '@odata.nextLink': `${origin}/odata/v1/Products${next.search}` } : {}),
        },
      };
    },
  };
}
