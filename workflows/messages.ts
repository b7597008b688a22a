/** Every message a workflow takes, with its kind in its name. The API and other workflows import from here. */
import { defineQuery, defineSignal } from '@temporalio/workflow';
import type { JobSnapshot, Waiting } from '../src/jobs/job.js';

/** To a job: something its reader should know about a product's transfer. Sent by activities and by `download`. */
export interface TransferNoteMessage {
  product_id: string;
  type: 'transfer.retried' | 'transfer.resumed' | 'job.waiting';
  data: Record<string, unknown>;
  waiting: Omit<Waiting, 'since'> | null;
}
export const transferNoteSignal = defineSignal<[TransferNoteMessage]>('transferNote');

/** To a download that another job started: tell this job too when you end. */
export interface FollowMessage {
  job_id: string;
}
export const followSignal = defineSignal<[FollowMessage]>('follow');

/** To a job that follows another job's download: it ended, however it ended. */
export interface DownloadEndedMessage {
  product_id: string;
}
export const downloadEndedSignal = defineSignal<[DownloadEndedMessage]>('downloadEnded');

export const snapshotQuery = defineQuery<JobSnapshot>('snapshot');
