/** What a sandbox can be started with, and what of it can be changed while it runs. */
import { z } from 'zod';
import type { BulkOptions, RealFile } from './catalogue/catalogue.js';

export interface SandboxOptions {
  /** The same seed makes the same catalogue, ids and bytes. Default 1. */
  seed?: number;
  /** Products made by rule. Default 4000. */
  products?: number;
  /** Factor on the size of every product; 1 = as large as the real ones, 0.0005 = some hundred kB. Default 1. */
  scale?: number;
  /** Interface to listen on. The control port listens on loopback only. Default 127.0.0.1. */
  host?: string;
  /** 0 = any free port. */
  ports?: { catalogue?: number; download?: number; control?: number };
  /** The download server gets another host name than the catalogue (`localhost` for 127.0.0.1). Default true. */
  requireSecondHost?: boolean;
  users?: Record<string, string>;
  bulk?: BulkOptions;
  realFiles?: RealFile[];
  tokenLifetimeSeconds?: number;
  refreshLifetimeSeconds?: number;
  connections?: number;
  bytesPerSecond?: number;
  ranges?: boolean;
  etag?: boolean;
  nodes?: boolean;
}

/** What `PUT /settings` and `sandbox.configure` may change. */
export const settingsSchema = z.strictObject({
  tokenLifetimeSeconds: z.number().positive().default(600),
  refreshLifetimeSeconds: z.number().positive().default(3600),
  /** Simultaneous downloads of one account. */
  connections: z.number().int().positive().default(4),
  /** Bytes per second of each download; null = as fast as it goes. */
  bytesPerSecond: z.number().positive().nullable().default(null),
  /** false = Range is ignored and everything is sent with 200. */
  ranges: z.boolean().default(true),
  /** true = downloads carry an ETag, which the real service does not send. */
  etag: z.boolean().default(false),
  /** false = no single files: listings and their addresses answer 404. */
  nodes: z.boolean().default(true),
});
export type Settings = z.infer<typeof settingsSchema>;

export const settingsPatchSchema = z.strictObject({
  tokenLifetimeSeconds: z.number().positive().optional(),
  refreshLifetimeSeconds: z.number().positive().optional(),
  connections: z.number().int().positive().optional(),
  bytesPerSecond: z.number().positive().nullable().optional(),
  ranges: z.boolean().optional(),
  etag: z.boolean().optional(),
  nodes: z.boolean().optional(),
});
export type SettingsPatch = z.infer<typeof settingsPatchSchema>;
