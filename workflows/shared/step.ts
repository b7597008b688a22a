/** A step: what the workflow does on one piece of news, before it waits for the next. */
import { condition } from '@temporalio/workflow';

/** Resolves when nothing else is left to do in this step, however many awaits that takes. */
export async function endOfStep(): Promise<void> {
  let mayEnd = false;
  // Temporal looks at conditions once a step has nothing else to do, and this one holds from then on.
  const end = condition(() => mayEnd);
  mayEnd = true;
  await end;
}
