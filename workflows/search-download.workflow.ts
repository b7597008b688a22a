/**
 * The job type `search_download`: search the catalogue page by page, plan, fetch each product through a child workflow,
 * a bounded window at a time, continue as new after each chunk, and leave a manifest. The manifest is the last act; only
 * then has the job succeeded.
 */
import {
  CancellationScope,
  ParentClosePolicy,
  condition,
  continueAsNew,
  executeChild,
  getExternalWorkflowHandle,
  isCancellation,
  log,
  patched,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
  TemporalFailure,
  ChildWorkflowCancellationType,
} from '@temporalio/workflow';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { isSelective } from '../src/jobs/asset-patterns.js';
import { announcedBytes } from '../src/jobs/plan.js';
import { downloadWorkflowId, manifestPath } from '../src/jobs/ids.js';
import type { JobHeader, JobSnapshot, JobState, Waiting } from '../src/jobs/job.js';
import { initialSnapshot } from '../src/jobs/snapshot.js';
import { ServiceError } from '../src/jobs/error-codes.js';
import { toProblem, type Problem } from '../src/jobs/problem.js';
import { Story } from '../src/jobs/story.js';
import { searchAttribute } from '../src/jobs/search-attributes.js';
import type {
  JobSearchCursor,
  PlannedProduct,
  PlanSummary,
  SearchPageResult,
} from '../activities/index.js';
import { download, type DownloadInput, type DownloadResult } from './download.workflow.js';
import {
  downloadEndedSignal,
  followSignal,
  snapshotQuery,
  transferNoteSignal,
} from './messages.js';
import { patientSteps, readChunk, singleTries } from './shared/activities.js';
import { readFailure, toWorkflowFailure, type Failure } from './shared/failure.js';
import { defaultPatience, withPatience, type Patience } from './shared/patience.js';
import { Recorder } from './shared/recorder.js';

export interface SearchDownloadOptions {
  /** Products fetched at the same time by one job. */
  window: number;
  /** Products a run: the job continues as new after each chunk. */
  chunkSize: number;
  /** Search pages a run. */
  pagesARun: number;
  /** Queue of the provider's transfers is `<prefix>-<provider>`. */
  transferQueuePrefix: string;
  staleSeconds: number;
  /** How long to wait for another job's download before looking again by ourselves. */
  followMs: number;
  patience: Patience;
}

const defaultOptions: SearchDownloadOptions = {
  window: 8,
  chunkSize: 100,
  pagesARun: 100,
  transferQueuePrefix: 'nimbus-transfers',
  staleSeconds: 15,
  followMs: 300_000,
  patience: defaultPatience,
};

/** Carried from run to run. */
interface Progress {
  snapshot: JobSnapshot;
  phase:
    | { name: 'search'; page: number; cursor: JobSearchCursor | null }
    | { name: 'fetch'; chunk: number; chunks: number };
  /** The first product that failed: the cause shown when all did. */
  firstProblem: Problem | null;
  /** Set once no further product is begun. */
  limitedBy?: 'max_bytes';
}

export interface SearchDownloadInput {
  header: JobHeader;
  options?: Partial<SearchDownloadOptions>;
  progress?: Progress;
}

export async function searchDownload(input: SearchDownloadInput): Promise<JobSnapshot> {
  return await new SearchDownload(input).run();
}

class SearchDownload {
  private readonly header: JobHeader;
  private readonly options: SearchDownloadOptions;
  private readonly recorder: Recorder;
  private readonly steps: ReturnType<typeof patientSteps>;
  private progress: Progress;
  private readonly endedElsewhere = new Set<string>();
  private readonly followed = new Set<string>();
  /** Products under way, with their sizes as announced. */
  private readonly underWay = new Map<string, number | null>();

  constructor(private readonly input: SearchDownloadInput) {
    this.header = input.header;
    this.options = { ...defaultOptions, ...input.options };
    this.progress = input.progress ?? {
      snapshot: initialSnapshot(this.header.created_at),
      phase: { name: 'search', page: 0, cursor: null },
      firstProblem: null,
    };
    this.steps = patientSteps(this.options);
    this.recorder = new Recorder(
      this.header,
      new Story(this.header.job_id, this.progress.snapshot),
      this.steps.recordEvents,
    );
    setHandler(snapshotQuery, () => this.snapshot);
    setHandler(downloadEndedSignal, ({ product_id }) => void this.endedElsewhere.add(product_id));
    setHandler(transferNoteSignal, ({ type, data, waiting }) => {
      const since = new Date(Date.now()).toISOString();
      const told = waiting === null ? null : { ...waiting, since };
      this.recorder.tell(
        type,
        { ...data, ...(told === null ? {} : { waiting: told }) },
        { waiting: told },
      );
    });
  }

  private get snapshot(): JobSnapshot {
    return this.recorder.story.snapshot;
  }

  async run(): Promise<JobSnapshot> {
    try {
      if (this.input.progress === undefined) this.start();
      if (this.progress.phase.name === 'search') await this.search();
      await this.fetch();
      await this.finish();
      return this.snapshot;
    } catch (error) {
      if (isCancellation(error)) {
        await CancellationScope.nonCancellable(() => this.endCancelled());
        throw error;
      }
      if (!isFinal(error)) throw error;
      await this.endFailed(readFailure(error));
      throw error;
    }
  }

  private start(): void {
    this.recorder.story.tell('job.queued', this.header.created_at, {}, {});
    const at = new Date(Date.now()).toISOString();
    this.recorder.tell('job.started', {}, { state: 'running', started_at: at });
    this.showState('running');
  }

  private async search(): Promise<void> {
    const { searchPage } = singleTries(this.options);
    for (;;) {
      const phase = this.progress.phase;
      if (phase.name !== 'search') return;
      const { page, cursor } = phase;
      const found = await withPatience(
        this.options.patience,
        () =>
          searchPage({
            job_id: this.header.job_id,
            request: this.header.request,
            page,
            cursor,
            chunkSize: this.options.chunkSize,
          }),
        async ({ failure, waiting }) => {
          if (waiting === null) return;
          const told = { ...waiting, since: new Date(Date.now()).toISOString() };
          this.recorder.tell(
            'job.waiting',
            { step: 'search', page, reason: failure.message, code: failure.code, waiting: told },
            { waiting: told },
          );
        },
      );
      if (found.plan !== null) return this.plan(page + 1, found.plan, found);
      this.progress.phase = { name: 'search', page: page + 1, cursor: found.next };
      if ((page + 1) % this.options.pagesARun === 0) await this.continue();
    }
  }

  private plan(pages: number, plan: PlanSummary, { repairs, missing }: SearchPageResult): void {
    this.recorder.tell(
      'search.completed',
      {
        total: plan.total,
        products: plan.products,
        left_out: plan.leftOut,
        limited_by: plan.limitedBy ?? null,
        repeats: plan.repeats,
        bytes_total: plan.bytesTotal,
        pages,
        aoi_repairs: repairs,
      },
      {
        products_total: plan.products + missing.length,
        bytes_total: plan.bytesTotal,
        waiting: null,
      },
    );
    for (const name of missing)
      this.failProduct({ product_id: name, name }, unknownProduct(this.header, name));
    this.progress.phase = { name: 'fetch', chunk: 0, chunks: plan.chunks };
  }

  private async fetch(): Promise<void> {
    for (;;) {
      const phase = this.progress.phase;
      if (phase.name !== 'fetch' || phase.chunk >= phase.chunks) return;
      if (this.progress.limitedBy !== undefined) return;
      const { record, products } = await readChunk({
        job_id: this.header.job_id,
        chunk: phase.chunk,
      });
      await this.fetchWindow(record, products);
      this.progress.phase = { ...phase, chunk: phase.chunk + 1 };
      if (phase.chunk + 1 < phase.chunks) await this.continue();
    }
  }

  /** At most `window` products at a time; with on_error "stop", the first failure cancels the others. */
  private async fetchWindow(record: string, products: PlannedProduct[]): Promise<void> {
    const queue = [...products];
    await CancellationScope.cancellable(async () => {
      const scope = CancellationScope.current();
      let stoppedBy: unknown = null;
      const lane = async (): Promise<void> => {
        for (
          let product = queue.shift();
          product !== undefined && stoppedBy === null;
          product = queue.shift()
        ) {
          try {
            if (await this.isWithinLimits(product)) await this.fetchProduct(record, product);
          } catch (error) {
            if (stoppedBy === null && !isCancellation(error)) {
              stoppedBy = error;
              scope.cancel();
            } else if (stoppedBy === null) throw error;
          }
        }
      };
      const lanes = await Promise.allSettled(
        Array.from({ length: Math.min(this.options.window, products.length) }, lane),
      );
      if (stoppedBy !== null) throw stoppedBy as Error;
      for (const outcome of lanes) if (outcome.status === 'rejected') throw outcome.reason as Error;
    });
  }

  /**
   * The plan has counted what was announced. What was not counts here: by the mean of the products that are done, and until
   * there is one, one at a time. Says no for good.
   */
  private async isWithinLimits(product: PlannedProduct): Promise<boolean> {
    const { max_bytes } = this.header.request;
    if (max_bytes === undefined || !patched('2026-11-max-bytes')) return true;
    const bytes = announcedBytes(product, this.header.request);
    const mayBegin = (): boolean =>
      this.snapshot.products_done > 0 || ![...this.underWay.values()].includes(null);
    while (bytes === null && !mayBegin()) await condition(mayBegin);
    const { products_done, bytes_done } = this.snapshot;
    const mean = products_done === 0 ? 0 : bytes_done / products_done;
    const taken = [...this.underWay.values()].reduce<number>(
      (sum, size) => sum + (size ?? mean),
      bytes_done,
    );
    if (taken >= max_bytes || taken + (bytes ?? mean) > max_bytes)
      this.progress.limitedBy = 'max_bytes';
    if (this.progress.limitedBy !== undefined) return false;
    this.underWay.set(product.id, bytes);
    return true;
  }

  /** @throws only on cancellation, or when the job stops at its first failure */
  private async fetchProduct(record: string, product: PlannedProduct): Promise<void> {
    const facts = { product_id: product.id, name: product.name };
    this.recorder.tell(
      'product.started',
      { ...facts, bytes: isSelective(this.header.request.assets) ? null : product.bytes },
      { in_flight: [...this.snapshot.in_flight, product.id] },
    );
    try {
      const result = await this.runDownload(record, product);
      this.recorder.tell(
        result.outcome === 'reused' ? 'product.reused' : 'product.completed',
        {
          ...facts,
          bytes: result.bytes,
          artifacts: result.artifacts,
          bytes_fetched: result.bytes_fetched,
          ...(result.damaged_before ? { damaged_before: true } : {}),
          ...(result.selection === undefined ? {} : { selection: result.selection }),
        },
        {
          in_flight: this.without(product.id),
          products_done: this.snapshot.products_done + 1,
          bytes_done: this.snapshot.bytes_done + result.bytes,
          waiting: null,
        },
      );
    } catch (error) {
      if (isCancellation(error)) throw error;
      this.failProduct(facts, readFailure(error));
    } finally {
      this.underWay.delete(product.id);
    }
  }

  /** @throws when the job stops at its first failure */
  private failProduct(
    facts: { product_id: string; name: string },
    failure: Pick<Failure, 'code' | 'problem'>,
  ): void {
    this.progress.firstProblem ??= failure.problem;
    this.recorder.tell(
      'product.failed',
      { ...facts, error: failure.problem },
      {
        in_flight: this.without(facts.product_id),
        products_failed: this.snapshot.products_failed + 1,
        waiting: null,
      },
    );
    if (this.header.request.on_error === 'stop') throw toWorkflowFailure(failure);
  }

  private without(productId: string): string[] {
    return this.snapshot.in_flight.filter((id) => id !== productId);
  }

  /** Runs the product's own workflow; where another job is already at it, waits for that one and then finds the product held. */
  private async runDownload(record: string, product: PlannedProduct): Promise<DownloadResult> {
    const { provider, if_exists, assets } = this.header.request;
    const workflowId = downloadWorkflowId(provider, product.id);
    const input: DownloadInput = {
      job_id: this.header.job_id,
      provider,
      product_id: product.id,
      product_name: product.name,
      record,
      if_exists,
      ...(isSelective(assets) ? { assets } : {}),
      timing: {
        staleSeconds: this.options.staleSeconds,
        taskQueue: `${this.options.transferQueuePrefix}-${provider}`,
      },
      patience: this.options.patience,
    };
    for (;;) {
      try {
        return await executeChild(download, {
          workflowId,
          args: [input],
          parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
          cancellationType: ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
          staticSummary: product.name,
          typedSearchAttributes: [
            { key: searchAttribute.jobType, value: 'download' },
            { key: searchAttribute.provider, value: provider },
            { key: searchAttribute.collection, value: this.header.request.collection },
          ],
        });
      } catch (error) {
        if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
        await this.follow(workflowId, product.id);
      }
    }
  }

  private async follow(workflowId: string, productId: string): Promise<void> {
    this.endedElsewhere.delete(productId);
    try {
      await getExternalWorkflowHandle(workflowId).signal(followSignal, {
        job_id: this.header.job_id,
      });
    } catch (error) {
      if (isCancellation(error)) throw error;
      return;
    }
    this.tellFollowing(productId);
    await condition(() => this.endedElsewhere.has(productId), this.options.followMs);
  }

  /** Once a product, however long the other job takes. */
  private tellFollowing(productId: string): void {
    if (this.followed.has(productId)) return;
    this.followed.add(productId);
    const waiting: Waiting = {
      reason: 'provider',
      since: new Date(Date.now()).toISOString(),
      until: null,
      detail: 'Another job is fetching this product: this one takes it over from there',
    };
    this.recorder.tell('job.waiting', { product_id: productId, waiting }, { waiting });
  }

  private async finish(): Promise<void> {
    const { products_done, products_failed, bytes_done } = this.snapshot;
    if (products_failed > 0 && products_done === 0) {
      const problem = this.progress.firstProblem!;
      await this.end('job.failed', 'failed', problem, true);
      throw toWorkflowFailure({ code: problem.code as Failure['code'], problem });
    }
    await this.end('job.succeeded', 'succeeded', null, true, { bytes: bytes_done });
  }

  private async endFailed(failure: Failure): Promise<void> {
    if (this.snapshot.finished_at !== null) return;
    await this.end('job.failed', 'failed', failure.problem, this.snapshot.products_done > 0);
  }

  private async endCancelled(): Promise<void> {
    await this.end('job.cancelled', 'cancelled', null, this.snapshot.products_done > 0);
  }

  /** The last act. */
  private async end(
    type: 'job.succeeded' | 'job.failed' | 'job.cancelled',
    state: JobState,
    error: Problem | null,
    withManifest: boolean,
    facts: Record<string, unknown> = {},
  ): Promise<void> {
    const { products_done, products_failed, products_total } = this.snapshot;
    const { limitedBy } = this.progress;
    const ended = products_done + products_failed;
    const limit =
      limitedBy === undefined
        ? {}
        : { limited_by: limitedBy, left_out: (products_total ?? ended) - ended };
    const manifest = withManifest ? manifestPath(this.header.job_id) : null;
    await this.recorder.tellLast(
      type,
      {
        manifest,
        products_done,
        products_failed,
        ...facts,
        ...limit,
        ...(error === null ? {} : { error }),
      },
      {
        ...(limitedBy === undefined ? {} : { products_total: ended }),
        state,
        error,
        manifest,
        finished_at: new Date(Date.now()).toISOString(),
        in_flight: [],
        waiting: null,
      },
      withManifest,
    );
    this.showState(state);
  }

  private showState(state: JobState): void {
    upsertSearchAttributes([{ key: searchAttribute.state, value: state }]);
  }

  /** Next run: nothing is in flight, everything is told. */
  private async continue(): Promise<never> {
    await this.recorder.settled();
    const progress: Progress = { ...this.progress, snapshot: this.snapshot };
    log.info('continuing as new', { events: workflowInfo().historyLength });
    return await continueAsNew<typeof searchDownload>({
      header: this.header,
      ...(this.input.options ? { options: this.input.options } : {}),
      progress,
    });
  }
}

function unknownProduct({ request }: JobHeader, name: string): Pick<Failure, 'code' | 'problem'> {
  const problem = toProblem(
    new ServiceError('NotFound', `${request.provider} does not know ${name}`),
  );
  return { code: 'NotFound', problem };
}

/**
 * Only Temporal's failures end a job. A bug fails the workflow task instead, which is tried again until it is mended;
 * continue-as-new, which also travels as an exception, passes.
 */
function isFinal(error: unknown): boolean {
  return error instanceof TemporalFailure;
}
