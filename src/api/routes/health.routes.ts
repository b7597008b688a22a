/** Health: for people (all parts), for restarts (live), for load balancers (ready). */
import type { ApiContext } from '../context.js';
import { checkCore, checkHealth } from '../health-checks.js';
import type { Mount } from '../mount.js';
import { operations } from '../operations.js';

export function healthRoutes(context: ApiContext, mount: Mount): void {
  mount(operations.getHealth, async ({ response }) => {
    response.json(await checkHealth(context));
  });

  mount(operations.getLive, ({ response }) => {
    response.json({ status: 'ok' });
  });

  mount(operations.getReady, async ({ response }) => {
    const checks = await checkCore(context);
    const ready = Object.values(checks).every(({ status }) => status === 'ok');
    response.status(ready ? 200 : 503).json({ status: ready ? 'ready' : 'not ready', checks });
  });
}
