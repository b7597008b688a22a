/**
 * A small greyscale picture as a baseline JPEG, drawn by rule: flat 8 × 8 blocks, so only DC coefficients are coded.
 * @see ITU-T T.81 Annex F
 */
const blocks = 32;

/** Lengths 0 … 11 each get one 4-bit code. */
const dcBits = [0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const dcSymbols = Array.from({ length: 12 }, (_, size) => size);

export function quicklook(key: number): Buffer {
  return Buffer.concat([
    Buffer.from('ffd8', 'hex'),
    segment(0xe0, Buffer.from('4a46494600010100000100010000', 'hex')),
    segment(0xdb, Buffer.from([0, ...new Array<number>(64).fill(8)])),
    segment(0xc0, frameHeader()),
    segment(0xc4, Buffer.from([0x00, ...dcBits, ...dcSymbols])),
    segment(0xc4, Buffer.from([0x10, 1, ...new Array<number>(15).fill(0), 0x00])),
    segment(0xda, Buffer.from([1, 1, 0x00, 0, 63, 0])),
    scan(key),
    Buffer.from('ffd9', 'hex'),
  ]);
}

function segment(marker: number, content: Buffer): Buffer {
  const head = Buffer.from([0xff, marker, 0, 0]);
  head.writeUInt16BE(content.length + 2, 2);
  return Buffer.concat([head, content]);
}

function frameHeader(): Buffer {
  const size = blocks * 8;
  return Buffer.from([8, size >> 8, size & 255, size >> 8, size & 255, 1, 1, 0x11, 0]);
}

/** A waving surface, different for each key. */
function scan(key: number): Buffer {
  const [a, b, c] = [key % 17, (key >>> 5) % 23, (key >>> 10) % 29];
  const writer = new BitWriter();
  let before = 0;
  for (let row = 0; row < blocks; row += 1)
    for (let column = 0; column < blocks; column += 1) {
      const wave =
        Math.sin((row + a) / 4) + Math.cos((column + b) / 5) + Math.sin((row + column + c) / 7);
      const level = Math.round(wave * 40);
      const difference = level - before;
      before = level;
      const size = difference === 0 ? 0 : 32 - Math.clz32(Math.abs(difference));
      writer.put(size, 4);
      writer.put(difference < 0 ? difference + 2 ** size - 1 : difference, size);
      writer.put(0, 1);
    }
  return writer.finish();
}

class BitWriter {
  private readonly bytes: number[] = [];
  private current = 0;
  private filled = 0;

  put(value: number, width: number): void {
    for (let bit = width - 1; bit >= 0; bit -= 1) {
      this.current = (this.current << 1) | ((value >> bit) & 1);
      this.filled += 1;
      if (this.filled === 8) this.flush();
    }
  }

  finish(): Buffer {
    while (this.filled > 0) this.put(1, 1);
    return Buffer.from(this.bytes);
  }

  private flush(): void {
    this.bytes.push(this.current);
    // A byte of ones is followed by a zero byte, so that it is not taken for a marker.
    if (this.current === 0xff) this.bytes.push(0);
    this.current = 0;
    this.filled = 0;
  }
}
