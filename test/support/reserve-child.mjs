// Reserves room as a process of its own, on a disk whose size it is told: free is what the files of `partials` leave.
import { appendFile, lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

const [code, partials, name, bytes, diskBytes, startMs] = process.argv.slice(2);
const { createReservations } = await import(pathToFileURL(code).href);

async function disk() {
  let used = 0;
  for (const folder of await readdir(partials))
    // Whoever is refused takes its folder away.
    for (const file of await readdir(join(partials, folder)).catch(() => [])) {
      const facts = await lstat(join(partials, folder, file)).catch(() => null);
      if (facts?.isFile()) used += facts.blocks * 512;
    }
  return { freeBytes: Number(diskBytes) - used, totalBytes: Number(diskBytes) };
}

const { reserve } = createReservations({ partials, marginBytes: 0, disk });
while (Date.now() < Number(startMs));
const said = await reserve(join(partials, name), Number(bytes)).then(
  () => 'granted',
  (error) => error.code ?? String(error),
);
process.stdout.write(`${said}\n`);
for (let written = 0; said === 'granted'; await sleep(50)) {
  const piece = Math.min(64 * 1024, Number(bytes) - written);
  if (piece > 0) await appendFile(join(partials, name, 'part.0'), Buffer.alloc(piece, 1));
  written += piece;
}
