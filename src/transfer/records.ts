/** What a transfer keeps in its directory, and how it is told from anything else that may lie there. */
import {
  isFlag,
  isLength,
  isNumber,
  isOffset,
  isText,
  listOf,
  objectOf,
  oneOf,
  orNull,
  recordOf,
  type Shaped,
} from './shape.js';

// ---- the journal

const isXxh64 = (value: unknown): value is string => isText(value) && /^[0-9a-f]{16}$/.test(value);
const isBlock = objectOf({ offset: isOffset, length: isLength, xxh64: isXxh64 });
/** Bytes [offset, offset + length) were written, and had this XXH64. */
export type Block = Shaped<typeof isBlock>;

const isSpan = objectOf({ start: isOffset, end: isOffset });

const isSourceFacts = objectOf({
  /** Size of the whole, once a server has said it. */
  total: orNull(isOffset),
  etag: orNull(isText),
  lastModified: orNull(isText),
  disposition: orNull(isText),
});
/** What the server said of the object that the bytes belong to. */
export type SourceFacts = Shaped<typeof isSourceFacts>;

const isCheckpoint = objectOf({
  upTo: isOffset,
  /** By algorithm, as base64: the state of the hash over bytes [0, upTo). */
  states: recordOf(isText),
});
/** Digests half-way, so that a later process need not read these bytes again. */
export type Checkpoint = Shaped<typeof isCheckpoint>;

const isMismatch = objectOf({ bytes: isNumber, digests: recordOf(isText) });
/** A full copy that contradicted the announced digests. */
export type Mismatch = Shaped<typeof isMismatch>;

export const VERSION = 4;
const isVersion = (value: unknown): value is typeof VERSION => value === VERSION;

export const isJournalRecord = oneOf(
  /** `part` is the name of the file that the blocks are in: another file's journal says nothing of it. */
  objectOf({ header: objectOf({ version: isVersion, identity: isText, part: isText }) }),
  objectOf({ source: isSourceFacts }),
  objectOf({ block: isBlock }),
  objectOf({ flushed: listOf(isSpan) }),
  objectOf({ hashed: isCheckpoint }),
  /** Nothing in this span is believed any longer. */
  objectOf({ lost: isSpan }),
  objectOf({ mismatch: isMismatch }),
);
export type JournalRecord = Shaped<typeof isJournalRecord>;

// ---- the owner

const isPartName = (value: unknown): value is string =>
  isText(value) && /^part\.[0-9a-f]+$/.test(value);

export const isOwnerRecord = objectOf({
  token: isText,
  /** Name of the partial file in use. */
  part: isPartName,
  /** An earlier owner of that file may still be alive. */
  shared: isFlag,
  released: isFlag,
  host: isText,
  boot: isText,
  pid: isOffset,
  started: isText,
});
export type OwnerRecord = Shaped<typeof isOwnerRecord>;
