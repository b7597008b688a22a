// Runs one transfer in a process of its own, told by its parent over IPC, and says how it ended. Made to be killed.
// With `tells` it also says what it is told on the way: notes, and durable bytes.
process.once('message', async ({ entry, source, options, tells = false }) => {
  const { createConnectionSlots, createTransferEngine } = await import(entry);
  const engine = createTransferEngine({ hashThreads: 1, backoff: { baseMs: 1, maxMs: 5 } });
  const tell = (told) => tells && process.connected && process.send({ told });
  const outcome = await engine
    .transfer(
      {
        headers: async () => ({ authorization: 'Bearer 0' }),
        rejected: () => undefined,
        translate: () => null,
        ...source,
      },
      {
        ...options,
        slots: createConnectionSlots(source.connections ?? 1),
        signal: new AbortController().signal,
        onNote: (note) => tell({ note }),
        onProgress: ({ bytes }) => tell({ durable: bytes }),
      },
    )
    .catch((error) => ({ code: error.code, message: error.message }));
  await engine.close();
  process.send(outcome, () => process.disconnect());
});
