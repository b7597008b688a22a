/** Search preview. */
import type { ApiContext } from '../context.js';
import type { Mount } from '../mount.js';
import { operations } from '../operations.js';
import { previewSearch } from '../preview.js';

export function searchRoutes(context: ApiContext, mount: Mount): void {
  mount(operations.previewSearch, async ({ body, response }) => {
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    response.json(await previewSearch(context, body, gone.signal));
  });
}
