// The fault server of the soak test, in a process of its own. It draws each file, and what it does wrong with it, from the
// number in the path, as its parent does; asked about a number, it says what it saw and forgets it.
const [{ modules, seed, only, identity }] = await new Promise((resolve) =>
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

const script = scripted(({ path }) => {
  const index = /^\/(\d+)\//.exec(path)?.[1];
  if (index === undefined || (only !== null && Number(index) !== only)) return undefined;
  return (latest = worldAt(Number(index)));
});
// a reset may hit another file's connection than the one it was drawn for: that is no harm
const onConnection = () => (latest && resetsConnection(latest) ? 'reset' : 'accept');
const servers = [await startLyingServer(script, { onConnection })];
if (identity) servers.push(await startLyingServer(script, { onConnection, identity }));
// the list of requests is of no use to anybody here, and would grow for hours
setInterval(() => servers.forEach((server) => (server.requests.length = 0)), 10_000).unref();

process.on('message', ({ ask, index }) => {
  const world = worldAt(index);
  const folder = `/${index}/`;
  process.send({
    left: world.faults.length,
    peak: Math.max(...servers.map(({ peaks }) => peaks.get(folder) ?? 0)),
    strayed: FORBIDDEN.connections().accepted,
    failures: servers.flatMap(({ failures }) => failures.map((one) => one?.stack ?? String(one))),
    open: servers.reduce((sum, server) => sum + server.connections().open, 0),
  });
  if (ask !== 'forget') return;
  worlds.delete(index);
  for (const { peaks } of servers) peaks.delete(folder);
});
process.on('disconnect', () => process.exit(0));
process.send({ urls: servers.map((server) => server.url('')) });
