/** The API's documentation: as a document, as a page, and a page for each problem that an answer may point to. */
import { ServiceError } from '../../jobs/error-codes.js';
import type { ApiContext } from '../context.js';
import { docsPage, problemPage } from '../docs-page.js';
import { sendPage } from '../html.js';
import { problemKinds } from '../http-problems.js';
import type { Mount } from '../mount.js';
import { createOpenApi } from '../openapi.js';
import { operations } from '../operations.js';

export function docsRoutes(context: ApiContext, mount: Mount): void {
  const document = createOpenApi(context.version);

  mount(operations.getOpenApi, ({ response }) => {
    response.json(document);
  });

  mount(operations.getDocs, ({ request, response }) => {
    const base = `${request.protocol}://${request.get('host') ?? 'localhost'}`;
    sendPage(response, 'Nimbus API', docsPage(context.version, base));
  });

  mount(operations.getProblemPage, ({ request, response }) => {
    const kind = problemKinds.find(({ slug }) => slug === request.params['code']);
    if (!kind) throw new ServiceError('NotFound', 'There is no such problem');
    sendPage(response, kind.title, problemPage(kind));
  });
}
