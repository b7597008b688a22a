/**
 * Queue names, in one place. Workflows and short steps share one queue; each provider's transfers have their own, whose
 * workers take no more of them at once than the provider and the worker allow.
 */
export const transferQueuePrefix = (taskQueue: string): string => `${taskQueue}-transfers`;
export const transferQueue = (taskQueue: string, provider: string): string =>
  `${transferQueuePrefix(taskQueue)}-${provider}`;
