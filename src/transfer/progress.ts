/** Tells durable bytes and speed, at most four times a second. */
import type { TransferOptions } from './transfer.js';

const EVERY_MS = 250;
const WINDOW_MS = 5_000;

export class Progress {
  #samples: { atMs: number; bytes: number }[] = [];
  #toldAtMs = -Infinity;

  constructor(readonly tell: TransferOptions['onProgress']) {}

  update(bytes: number, bytesTotal: number | null): void {
    const nowMs = performance.now();
    if (!this.tell || (nowMs - this.#toldAtMs < EVERY_MS && bytes !== bytesTotal)) return;
    this.#toldAtMs = nowMs;
    if (bytes < (this.#samples.at(-1)?.bytes ?? 0)) this.#samples = [];
    this.#samples.push({ atMs: nowMs, bytes });
    while (this.#samples.length > 2 && nowMs - (this.#samples[0]?.atMs ?? nowMs) > WINDOW_MS)
      this.#samples.shift();
    this.tell({ bytes, bytesTotal, bytesPerSecond: this.#speed() });
  }

  #speed(): number {
    const [first] = this.#samples;
    const last = this.#samples.at(-1);
    if (!first || !last || last.atMs === first.atMs) return 0;
    return Math.round(((last.bytes - first.bytes) * 1000) / (last.atMs - first.atMs));
  }
}
