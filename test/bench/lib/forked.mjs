/** A module of ours as a process of its own that answers messages. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** @param signal ends it */
export function startForked(url, { args = [], env = {}, execArgv = [], signal }) {
  const child = fork(fileURLToPath(url), args, {
    env: { ...process.env, ...env },
    execArgv,
    signal,
    killSignal: 'SIGKILL',
  });
  // Its end by the signal is told as an error.
  child.on('error', () => {});
  const ended = new Promise((resolve) => {
    child.once('exit', (code, killedBy) => resolve(killedBy ?? code));
  });
  return {
    /** Its next message. @throws Error when it ends instead */
    async next() {
      const died = ended.then((how) => {
        throw new Error(`${url} ended with ${how}`);
      });
      const [answer] = await Promise.race([once(child, 'message'), died]);
      return answer;
    },
    ask(message) {
      const answer = this.next();
      child.send(message);
      return answer;
    },
    async stop() {
      if (child.connected) child.disconnect();
      await ended;
    },
  };
}
