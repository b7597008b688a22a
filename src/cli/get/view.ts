/**
 * The files of one `nimbus get` as they come in: bars that move at the foot of a terminal, plain lines elsewhere. Pure but
 * for the stream it writes to; names and messages from outside are made plain first.
 */
import { bar } from '../output/bar.js';
import type { NotesStream } from '../output/notes.js';
import type { Paint } from '../output/paint.js';
import { bytes, plain, seconds, shorten } from '../output/text.js';
import { reportLines, type FileReport } from './report.js';

export interface FileProgress {
  bytes: number;
  /** Null = unknown. */
  bytesTotal: number | null;
  bytesPerSecond: number;
}

export interface GetView {
  /** `id` names a file among those under way. */
  progress(id: string, name: string, progress: FileProgress): void;
  /** Something worth a line: a wait, another try. */
  said(name: string, text: string): void;
  ended(id: string, report: FileReport): void;
  /** Takes the bars away. Nothing may be told afterwards. */
  end(): void;
}

/** Only what went wrong. */
export function createQuietView(errors: NotesStream, paint: Paint): GetView {
  return {
    progress: () => {},
    said: () => {},
    ended: (_id, report) => {
      if (report.error !== null)
        errors.write(
          reportLines(report, paint)
            .map((line) => `${line}\n`)
            .join(''),
        );
    },
    end: () => {},
  };
}

const SHOWN_FILES = 6;
/** A bar gives way to the name where the terminal is narrow. */
const LEAST_NAME = 12;
const REDRAW_MS = 100;
/** Plain progress lines are this far apart. */
const PLAIN_MS = 5_000;

export function createGetView(
  stream: NotesStream & { columns?: number },
  paint: Paint,
  files: number,
  now: () => number = Date.now,
): GetView {
  const live = stream.isTTY === true;
  const active = new Map<string, FileProgress & { name: string }>();
  const done = { files: 0, bytes: 0 };
  let drawn = 0;
  let lastMs = live ? -Infinity : now();

  const erase = (): void => {
    if (drawn > 0) stream.write(`\u001b[${drawn}A\u001b[J`);
    drawn = 0;
  };
  const draw = (): void => {
    erase();
    const columns = Math.max(20, stream.columns || 80);
    const lines = [
      ...fileLines([...active.values()], paint, columns),
      shorten(totalOf(active, done, files), columns - 3),
    ];
    stream.write(lines.map((line) => `  ${line}\n`).join(''));
    drawn = lines.length;
  };
  const say = (lines: string[]): void => {
    if (live) erase();
    stream.write(lines.map((line) => `${line}\n`).join(''));
    if (live && active.size > 0) draw();
  };

  return {
    progress(id, name, progress) {
      active.set(id, { name: plain(name), ...progress });
      if (now() - lastMs < (live ? REDRAW_MS : PLAIN_MS)) return;
      lastMs = now();
      if (live) draw();
      else stream.write(`  ${totalOf(active, done, files)}\n`);
    },
    said(name, text) {
      say([paint.dim(`  ${plain(name)}: ${plain(text)}`)]);
    },
    ended(id, report) {
      active.delete(id);
      done.files += 1;
      if (report.path !== null) done.bytes += report.bytes;
      say(reportLines(report, paint));
    },
    end() {
      if (live) erase();
    },
  };
}

/** Never wider than the terminal: a line that wraps could not be taken away again. */
function fileLines(
  active: (FileProgress & { name: string })[],
  paint: Paint,
  columns: number,
): string[] {
  const cells = columns < 100 ? 20 : 30;
  const lines = active.slice(0, SHOWN_FILES).map(({ name, ...progress }) => {
    const share = progress.bytesTotal === null ? 0 : progress.bytes / progress.bytesTotal;
    const figures = figuresOf(progress);
    const room = columns - cells - figures.length - 7;
    return room < LEAST_NAME
      ? shorten(`${figures}  ${name}`, columns - 3)
      : `${bar(share, cells, paint)} ${figures}  ${shorten(name, room)}`;
  });
  const more = active.length - lines.length;
  return more > 0 ? [...lines, `and ${more} more`] : lines;
}

function figuresOf({ bytes: have, bytesTotal, bytesPerSecond }: FileProgress): string {
  const percent =
    bytesTotal === null ? '' : `${String(Math.floor((100 * have) / bytesTotal)).padStart(3)} %  `;
  return `${percent}${bytes(have)}, ${bytes(bytesPerSecond)}/s`;
}

/** `3 of 64 files, 120 MB, 55 MB/s, 12 s left`; the time left is said while all that is missing is under way. */
function totalOf(
  active: Map<string, FileProgress>,
  done: { files: number; bytes: number },
  files: number,
): string {
  const moving = [...active.values()];
  const have = done.bytes + moving.reduce((sum, one) => sum + one.bytes, 0);
  const speed = moving.reduce((sum, one) => sum + one.bytesPerSecond, 0);
  const left = moving.map(({ bytes: got, bytesTotal }) => (bytesTotal ?? NaN) - got);
  const missing = left.reduce((sum, one) => sum + one, 0);
  const eta =
    done.files + moving.length === files && speed > 0 && Number.isFinite(missing)
      ? `, ${seconds((1000 * missing) / speed)} left`
      : '';
  return `${done.files} of ${files} files, ${bytes(have)}, ${bytes(speed)}/s${eta}`;
}
