/** Self-contained pages: one style, no script, nothing from elsewhere, every inserted text escaped. */
import { createHash } from 'node:crypto';
import type { Response } from 'express';

/** A text that is already HTML. */
export class Html {
  constructor(readonly text: string) {}
}

type Insert = string | number | Html | readonly Insert[] | null | undefined;

/** Template for HTML: inserts are escaped unless they are Html themselves. */
export function html(parts: TemplateStringsArray, ...inserts: Insert[]): Html {
  return new Html(parts.reduce((text, part, index) => text + render(inserts[index - 1]) + part));
}

/** Text in which `…` marks code. */
export function withCode(text: string): Html[] {
  return text
    .split('`')
    .map((part, index) => (index % 2 === 1 ? html`<code>${part}</code>` : html`${part}`));
}

function render(insert: Insert): string {
  if (insert === null || insert === undefined) return '';
  if (insert instanceof Html) return insert.text;
  if (typeof insert === 'object') return insert.map(render).join('');
  return String(insert).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

const style = `
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--accent:#0b6bcb}
body{font:16px/1.55 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1.5rem}
h1{margin-bottom:0}h2{margin-top:2.5rem;border-bottom:1px solid var(--line)}h3{margin:1.8rem 0 .3rem}
code,pre{font:14px/1.45 ui-monospace,monospace}pre{background:var(--soft);padding:.8rem;overflow:auto;border-radius:6px}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.25rem .6rem .25rem 0;border-bottom:1px solid var(--line)}
a{color:var(--accent)}.method{font-weight:700;text-transform:uppercase;color:var(--accent)}nav li{display:inline-block;margin-right:1rem}nav ul{padding:0}
`;
const styleHash = createHash('sha256').update(style).digest('base64');
const policy = `default-src 'none'; style-src 'sha256-${styleHash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

export function sendPage(response: Response, title: string, body: Html): void {
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <title>${title}</title>
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <style>
          ${new Html(style)}
        </style>
      </head>
      <body>
        ${body}
      </body>
    </html> `;
  response.set('Content-Security-Policy', policy).type('html').send(page.text);
}
