// The fault server of the soak test, in a process of its own. It draws each file, and what it does wrong with it, from the
// number in the path, as its parent does; asked about a number, it says what it saw and forgets it.
const [{ modules, seed, only }] = await new Promise((resolve) =>
  process.once('message', (message) => resolve([message])),
);
const { startLyingServer } = await import(modules.server);
const { scripted, resetsConnection } = await import(modules.faults);
const { drawCase, worldOf } = await import(modules.cases);

const FORBIDDEN = await startLyingServer(() => ({ status: 200 }));
const worlds = new Map();
let latest = null;

function worldAt(index) {
  const world = worlds.get(index) ?? worldOf(drawCase(seed, index), index, FORBIDDEN.host);
  worlds.set(index, world);
  return world;
}

const server = await startLyingServer(
  scripted(({ path }) => {
    const index = /^\/(\d+)\//.exec(path)?.[1];
    if (index === undefined || (only !== null && Number(index) !== only)) return undefined;
    // what lies in this list is of no use to anybody here
    if (server.requests.length > 10_000) server.requests.length = 0;
    return (latest = worldAt(Number(index)));
  }),
  { onConnection: () => (latest && resetsConnection(latest) ? 'reset' : 'accept') },
);

process.on('message', ({ ask, index }) => {
  const world = worldAt(index);
  const answer = {
    left: world.faults.length,
    peak: server.peaks.get(`/${index}/`) ?? 0,
    strayed: FORBIDDEN.connections().accepted,
    failures: server.failures.map((failure) => failure?.stack ?? String(failure)),
    open: server.connections().open,
    bytesSent: server.bytesSent(),
  };
  if (ask === 'forget') {
    worlds.delete(index);
    server.peaks.delete(`/${index}/`);
  }
  process.send(answer);
});
process.on('disconnect', () => process.exit(0));
process.send({ host: server.host });
