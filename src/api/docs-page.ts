/** The documentation page: the operations, rendered. What is true of the API stands in operations.ts, not here. */
import { inputsOf } from './docs-inputs.js';
import { html, withCode, type Html } from './html.js';
import { problemKinds, type ProblemKind } from './http-problems.js';
import type { Operation } from './operation.js';
import { allOperations } from './operations.js';

export function docsPage(version: string, base: string): Html {
  const tags = [...new Set(allOperations.map(({ tag }) => tag))];
  return html`<header>
      <h1>Nimbus API</h1>
      <p>
        Version ${version}. The same as <a href="/openapi.json">OpenAPI 3.1</a>. Times are RFC 3339
        in UTC; errors are <a href="https://www.rfc-editor.org/rfc/rfc9457">problem documents</a>;
        unknown parameters and fields are refused. With a key set, every request needs
        <code>X-API-Key</code> or <code>Authorization: Bearer</code>.
      </p>
      <nav>
        <ul>
          ${tags.map((tag) => html`<li><a href="#${tag}">${tag}</a></li>`)}
          <li><a href="#problems">Problems</a></li>
        </ul>
      </nav>
    </header>
    ${tags.map(
      (tag) =>
        html`<section id="${tag}">
          <h2>${tag}</h2>
          ${allOperations.filter((one) => one.tag === tag).map((one) => section(one, base))}
        </section>`,
    )}
    <section id="problems">
      <h2>Problems</h2>
      <table>
        <tr>
          <th>Status</th>
          <th>Code</th>
          <th>What can be done</th>
        </tr>
        ${problemKinds.map(
          (kind) =>
            html`<tr>
              <td>${kind.status}</td>
              <td><a href="/problems/${kind.slug}">${kind.code}</a></td>
              <td>${kind.hint}</td>
            </tr>`,
        )}
      </table>
    </section>`;
}

export function problemPage(kind: ProblemKind): Html {
  return html`<h1>${kind.title}</h1>
    <p>Code <code>${kind.code}</code>, HTTP status ${kind.status}.</p>
    <h2>What can be done</h2>
    <p>${kind.hint}.</p>
    <p><a href="/docs#problems">All problems</a></p>`;
}

function section(operation: Operation, base: string): Html {
  const inputs = inputsOf(operation);
  return html`<article id="${operation.id}">
    <h3><span class="method">${operation.method}</span> <code>${operation.path}</code></h3>
    <p><strong>${operation.summary}.</strong> ${withCode(operation.description ?? '')}</p>
    ${
      inputs.length > 0
        ? html`<table>
            ${inputs.map(
              ({ name, place, text }) =>
                html`<tr>
                  <td><code>${name}</code></td>
                  <td>${place}</td>
                  <td>${withCode(text)}</td>
                </tr>`,
            )}
          </table>`
        : null
    }
    <pre>${curl(operation, base)}</pre>
    <p>
      Answers:
      ${Object.entries(operation.answers).map(([status, { description }], index) => `${index > 0 ? '; ' : ''}${status} ${description}`)}${operation.problems.length > 0 ? `. Problems: ${operation.problems.join(', ')}` : ''}.
    </p>
  </article>`;
}

function curl({ method, path, example, id }: Operation, base: string): string {
  const address = `${base}${path.replace('{id}', '$JOB_ID').replace('{path}', '$FILE').replace('{code}', 'not-found')}`;
  const options = [
    method === 'get' ? '' : `-X ${method.toUpperCase()} `,
    id === 'streamEvents' ? '-N ' : id === 'getFile' ? '-O ' : '',
  ].join('');
  const body =
    example === undefined
      ? ''
      : ` \\\n  -H 'Content-Type: application/json' \\\n  -d '${JSON.stringify(example)}'`;
  return `curl ${options}"${address}"${body}`;
}
