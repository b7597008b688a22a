/**
 * What a command says while it works: one line a fact, and for every wait what is waited for and how long already.
 * On a terminal a wait is one line that counts; elsewhere it is a line at its start, every ten seconds, and at its end.
 */
import { seconds } from './text.js';

export interface Notes {
  say(line: string): void;
  /** Runs `work` while saying that it is waited for. `what` completes "waiting for …". */
  during<T>(what: string, work: () => Promise<T>): Promise<T>;
}

export interface NotesStream {
  write(text: string): unknown;
  isTTY?: boolean;
}

const REMIND_MS = 10_000;
/** A wait shorter than this is not worth a line on a terminal. */
const REDRAW_MS = 200;

export function createNotes(stream: NotesStream): Notes {
  const live = stream.isTTY === true;
  const clear = (): void => void (live && stream.write('\r\u001b[K'));
  return {
    say(line) {
      clear();
      stream.write(`${line}\n`);
    },
    async during(what, work) {
      const startMs = Date.now();
      const elapsed = (): string => seconds(Date.now() - startMs);
      if (!live) stream.write(`waiting for ${what}\n`);
      const timer = setInterval(
        () =>
          stream.write(
            live
              ? `\r\u001b[Kwaiting for ${what} (${elapsed()})`
              : `still waiting for ${what} (${elapsed()})\n`,
          ),
        live ? REDRAW_MS : REMIND_MS,
      );
      try {
        const result = await work();
        clear();
        stream.write(`  ${what}: done (${elapsed()})\n`);
        return result;
      } catch (error) {
        clear();
        stream.write(`  ${what}: no (${elapsed()})\n`);
        throw error;
      } finally {
        clearInterval(timer);
      }
    },
  };
}

/** For tests and scripts that want no words. */
export const silentNotes: Notes = { say: () => {}, during: (_what, work) => work() };
