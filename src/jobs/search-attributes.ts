/** What the Temporal Web UI can filter jobs by, for example `NimbusProvider = "copernicus" AND NimbusState = "running"`. */
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';

export const searchAttribute = {
  jobType: defineSearchAttributeKey('NimbusJobType', SearchAttributeType.KEYWORD),
  provider: defineSearchAttributeKey('NimbusProvider', SearchAttributeType.KEYWORD),
  collection: defineSearchAttributeKey('NimbusCollection', SearchAttributeType.KEYWORD),
  state: defineSearchAttributeKey('NimbusState', SearchAttributeType.KEYWORD),
} as const;
