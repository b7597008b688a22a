/**
 * The provider's port: an upstream catalogue plus its download service. Adapters: one folder each, listed in registry.ts.
 * Everything an upstream says is checked by a schema before it gets here; errors are ServiceErrors
 * (SourceDenied, SourceGone, SourceOffline, SourceThrottled, SourceUnavailable, SourceRefused).
 */
import type { Aoi } from '../geo/aoi.js';
import type { SearchDownloadRequest } from '../jobs/request.js';
import type { Product } from '../jobs/product.js';
import type { TransferSource } from '../transfer/transfer.js';

/** Plain JSON, opaque to callers; travels through workflow history, so it stays small (< 4 kB). */
export type SearchCursor = Record<string, unknown>;

export interface SearchPage {
  /** Only products that match the request, the exact AOI included. A product may appear on two pages: callers drop repeats by id. */
  products: Product[];
  /** null = the search is complete: no window, cap or missing link cut it short. */
  next: SearchCursor | null;
  /** The query as sent, for lineage. Carries no secret. */
  query: string;
  /** Provider's own count of all matches where it says one for free; a hint. */
  totalHint: number | null;
}

/** A file inside a product. `path` is relative to the product, with forward slashes, as the provider writes it: not yet safe. */
export interface ListedFile {
  path: string;
  /** A hint; null = unknown. */
  bytes: number | null;
}

/**
 * A way to single files of a product. `listing`: the provider lists them and serves each under its own address. `archive`:
 * what it delivers is a zip of which it serves ranges, so that one member is a stretch of it.
 */
export type FileRoute =
  | {
      kind: 'listing';
      /** Every file; null = the product is itself one file. Errors as those of a search, SourceGone for a product that is. */
      list(signal: AbortSignal): Promise<ListedFile[] | null>;
      /** For a path that `list` gave. Costs nothing. */
      source(file: ListedFile): TransferSource;
    }
  | { kind: 'archive'; source: TransferSource };

export type CredentialsState = 'configured' | 'missing' | 'rejected';

export interface ProviderInfo {
  id: string;
  title: string;
  collections: { id: string; title: string; product_types: string[] }[];
  tile_grid: 'mgrs' | 'wrs2' | null;
  limits: { connections: number; bytes_per_second_per_connection: number | null };
  /** Address of the service in use, so that people see whether it is the sandbox. */
  base_url: string;
}

export interface Provider {
  readonly id: string;
  info(): ProviderInfo;
  /** `configured` until the provider rejects them; never logs in by itself. */
  credentials(): CredentialsState;
  /** Refuses a request that this provider cannot serve (unknown collection, …): InvalidInput with `errors`. Pure. */
  validate(request: SearchDownloadRequest): void;
  /** One page of the request's products. `aoi` is the parsed area, null for none. Repeatable. */
  search(
    request: SearchDownloadRequest,
    aoi: Aoi | null,
    cursor: SearchCursor | null,
    signal: AbortSignal,
  ): Promise<SearchPage>;
  /** Products by exact id or name, in the order asked; NotFound naming those that do not exist. */
  find(idsOrNames: string[], signal: AbortSignal): Promise<Product[]>;
  /** How to fetch the product as delivered. SourceOffline for what no request can bring. Costs no download. */
  source(product: Product): TransferSource;
  /** The ways to single files of the product, best first; none = only whole products. SourceOffline as `source`. */
  fileRoutes(product: Product): FileRoute[];
  /** Logs in (or uses the kept token) and says whether the credentials work; for `doctor`. */
  check(signal: AbortSignal): Promise<{ state: CredentialsState; detail: string }>;
  close(): Promise<void>;
}
