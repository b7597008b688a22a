/**
 * Takes the chunked coding off a body. Fed with whatever arrives, hands on the payload, and knows when the last chunk
 * was seen. Sizes and trailers are bounded. @see RFC 9112 §7.1
 */
import { retry } from '../errors.js';

const MAX_LINE = 4096;

export class ChunkedDecoder {
  done = false;
  #line = '';
  #left = 0;
  #state: 'size' | 'data' | 'end of data' | 'trailer' = 'size';
  #trailerBytes = 0;

  /** Returns how many bytes of `chunk` belong to this body; what follows is excess. */
  decode(chunk: Buffer, payload: (part: Buffer) => void): number {
    let at = 0;
    while (at < chunk.length && !this.done) {
      if (this.#state === 'data') {
        const part = chunk.subarray(at, at + this.#left);
        payload(part);
        at += part.length;
        this.#left -= part.length;
        if (this.#left === 0) this.#state = 'end of data';
      } else {
        at = this.#takeLine(chunk, at);
      }
    }
    return at;
  }

  #takeLine(chunk: Buffer, at: number): number {
    const newline = chunk.indexOf(10, at);
    const end = newline < 0 ? chunk.length : newline + 1;
    this.#line += chunk.toString('latin1', at, end);
    if (this.#line.length > MAX_LINE) throw malformed();
    if (newline >= 0) {
      // A bare LF may be payload where a size is wrong.
      if (!this.#line.endsWith('\r\n')) throw malformed();
      const line = this.#line.slice(0, -2);
      this.#line = '';
      this.#endLine(line);
    }
    return end;
  }

  #endLine(line: string): void {
    if (this.#state === 'end of data') {
      if (line !== '') throw malformed();
      this.#state = 'size';
    } else if (this.#state === 'size') {
      const size = /^0*([0-9a-fA-F]{1,12})[ \t]*(?:;.*)?$/.exec(line)?.[1];
      if (size === undefined) throw malformed();
      this.#left = parseInt(size, 16);
      this.#state = this.#left === 0 ? 'trailer' : 'data';
    } else if (line === '') {
      this.done = true;
    } else {
      this.#trailerBytes += line.length;
      if (this.#trailerBytes > MAX_LINE * 4) throw malformed();
    }
  }
}

function malformed() {
  return retry('SourceUnavailable', 'The chunked body is malformed');
}
