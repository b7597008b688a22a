// Runs one transfer in a process of its own, told by its parent over IPC, and says how it ended. Made to be killed.
process.once('message', async ({ entry, source, options }) => {
  const { createTransferEngine } = await import(entry);
  const engine = createTransferEngine({ hashThreads: 1, backoff: { baseMs: 1, maxMs: 5 } });
  const outcome = await engine
    .transfer(
      { ...source, headers: async () => ({}), rejected: () => undefined, translate: () => null },
      { ...options, signal: new AbortController().signal },
    )
    .catch((error) => ({ code: error.code, message: error.message }));
  await engine.close();
  process.send(outcome, () => process.disconnect());
});
