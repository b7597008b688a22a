/**
 * A strict reader of small XML documents from outside: elements, attributes and text, in one pass, event by event. There is
 * no document type declaration, so there are no entities beyond the five and the numbered ones, nothing is fetched and
 * nothing grows; length, depth and attributes are bounded. Names keep their prefix. Only UTF-8 and its subset ASCII.
 * @see https://www.w3.org/TR/xml/ without §2.8's doctypedecl
 */

/** `hostile`: something that a document of this kind has no honest use for. */
export class XmlFault extends Error {
  override readonly name = 'XmlFault';
  constructor(
    readonly kind: 'malformed' | 'hostile' | 'unsupported',
    message: string,
  ) {
    super(message);
  }
}

export interface XmlHandler {
  open: (name: string, attributes: ReadonlyMap<string, string>) => void;
  text: (text: string) => void;
  close: (name: string) => void;
}

export interface XmlLimits {
  depth: number;
  attributes: number;
  /** Of one name, value or reference; text between tags is bounded by the document alone. */
  tokenChars: number;
}

export const DEFAULT_XML_LIMITS: XmlLimits = { depth: 100, attributes: 200, tokenChars: 64 * 1024 };

const FIVE: Record<string, string> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };
const NAME = /[\p{L}_:][\p{L}\p{N}_:.\-\u00b7]*/uy;
const SPACE = /[ \t\r\n]*/y;
/** Characters that no document may hold. @see XML §2.2 */
const FORBIDDEN = /[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/;
/** After so many tokens others get their turn. */
const TOKENS_A_TURN = 5_000;

/** @throws XmlFault; what the handler throws; the signal's reason */
export async function readXml(
  document: Buffer,
  handler: XmlHandler,
  {
    limits = DEFAULT_XML_LIMITS,
    signal,
  }: { limits?: XmlLimits; signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const reader = new Reader(decode(document), handler, limits);
  for (let token = 1; reader.next(); token++) {
    if (token % TOKENS_A_TURN > 0) continue;
    await new Promise((resolve) => setImmediate(resolve));
    signal?.throwIfAborted();
  }
}

function decode(document: Buffer): string {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(document);
  } catch {
    throw new XmlFault('unsupported', 'it is not UTF-8');
  }
  if (FORBIDDEN.test(text)) throw new XmlFault('malformed', 'it holds forbidden characters');
  const declared = /^<\?xml[^>]*?encoding\s*=\s*["']([^"']*)["']/.exec(text.slice(0, 200))?.[1];
  if (
    declared !== undefined &&
    !/^(utf-?8|us-ascii|ascii)$/i.test(declared) &&
    /[^\0-\x7f]/.test(text)
  )
    throw new XmlFault('unsupported', `it says it is ${declared}`);
  return text;
}

class Reader {
  #at = 0;
  readonly #open: string[] = [];
  #hasRoot = false;

  constructor(
    readonly text: string,
    readonly handler: XmlHandler,
    readonly limits: XmlLimits,
  ) {}

  /** Takes the next token in. False at the end of a whole document. */
  next(): boolean {
    const { text } = this;
    if (this.#at >= text.length) {
      if (this.#open.length > 0 || !this.#hasRoot) throw malformed('it ends early');
      return false;
    }
    if (text[this.#at] !== '<') this.#text();
    else if (text.startsWith('<?', this.#at)) this.#skip('<?', '?>');
    else if (text.startsWith('<!--', this.#at)) this.#skip('<!--', '-->');
    else if (text.startsWith('<![CDATA[', this.#at)) this.#cdata();
    else if (text.startsWith('<!', this.#at))
      throw new XmlFault('hostile', 'it has a document type declaration');
    else if (text.startsWith('</', this.#at)) this.#close();
    else this.#element();
    return true;
  }

  #text(): void {
    const end = this.text.indexOf('<', this.#at);
    const raw = this.text.slice(this.#at, end < 0 ? undefined : end);
    this.#at += raw.length;
    if (this.#open.length > 0) this.handler.text(this.#unescape(raw));
    else if (raw.trim() !== '') throw malformed('it has text outside of its root');
  }

  #skip(opening: string, ending: string): void {
    const end = this.text.indexOf(ending, this.#at + opening.length);
    if (end < 0) throw malformed(`a ${opening} has no end`);
    this.#at = end + ending.length;
  }

  #cdata(): void {
    const start = this.#at + '<![CDATA['.length;
    this.#skip('<![CDATA[', ']]>');
    if (this.#open.length === 0) throw malformed('it has text outside of its root');
    this.handler.text(this.text.slice(start, this.#at - 3));
  }

  #close(): void {
    this.#at += 2;
    const name = this.#name();
    this.#space();
    this.#expect('>');
    if (this.#open.pop() !== name) throw malformed(`</${name}> closes another element`);
    this.handler.close(name);
  }

  #element(): void {
    this.#at += 1;
    if (this.#open.length === 0 && this.#hasRoot) throw malformed('it has two roots');
    if (this.#open.length >= this.limits.depth)
      throw new XmlFault('hostile', `elements lie more than ${this.limits.depth} deep`);
    this.#hasRoot = true;
    const name = this.#name();
    const attributes = this.#attributes();
    const isEmpty = this.text[this.#at] === '/';
    if (isEmpty) this.#at++;
    this.#expect('>');
    this.handler.open(name, attributes);
    if (isEmpty) this.handler.close(name);
    else this.#open.push(name);
  }

  #attributes(): Map<string, string> {
    const attributes = new Map<string, string>();
    for (;;) {
      const hasSpace = this.#space();
      const next = this.text[this.#at];
      if (next === '>' || next === '/') return attributes;
      if (!hasSpace) throw malformed('attributes are not apart');
      const name = this.#name();
      this.#space();
      this.#expect('=');
      this.#space();
      if (attributes.has(name)) throw malformed(`the attribute ${name} is there twice`);
      if (attributes.size >= this.limits.attributes)
        throw new XmlFault('hostile', `more than ${this.limits.attributes} attributes`);
      attributes.set(name, this.#value());
    }
  }

  #value(): string {
    const quote = this.text[this.#at];
    if (quote !== '"' && quote !== "'") throw malformed('an attribute is not quoted');
    const end = this.text.indexOf(quote, this.#at + 1);
    if (end < 0) throw malformed('an attribute has no end');
    const raw = this.#bounded(this.text.slice(this.#at + 1, end));
    if (raw.includes('<')) throw malformed('an attribute holds a <');
    this.#at = end + 1;
    return this.#unescape(raw.replace(/[\t\r\n]/g, ' '));
  }

  #name(): string {
    NAME.lastIndex = this.#at;
    const name = NAME.exec(this.text)?.[0];
    if (name === undefined) throw malformed(`no name where one is expected, at ${this.#at}`);
    this.#at += name.length;
    return this.#bounded(name);
  }

  #space(): boolean {
    SPACE.lastIndex = this.#at;
    const length = SPACE.exec(this.text)?.[0].length ?? 0;
    this.#at += length;
    return length > 0;
  }

  #expect(char: string): void {
    if (this.text[this.#at] !== char)
      throw malformed(`no ${char} where one is expected, at ${this.#at}`);
    this.#at++;
  }

  #bounded(token: string): string {
    if (token.length <= this.limits.tokenChars) return token;
    throw new XmlFault('hostile', `a name or value of ${token.length} characters`);
  }

  /** What a reference stands for is never looked at again, so nothing expands twice. */
  #unescape(raw: string): string {
    if (!raw.includes('&')) return raw;
    return raw.replace(/&([^;&]{0,32};)?/g, (_, reference?: string) => {
      const name = reference?.slice(0, -1) ?? '';
      const number = /^#(?:x([0-9a-f]{1,6})|([0-9]{1,7}))$/i.exec(name);
      if (!number) {
        const char = Object.hasOwn(FIVE, name) ? FIVE[name] : undefined;
        if (char === undefined)
          throw malformed('it refers to an entity that is not one of the five');
        return char;
      }
      const code = number[1] ? parseInt(number[1], 16) : Number(number[2]);
      const isChar = code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
      const char = isChar ? String.fromCodePoint(code) : '\0';
      if (FORBIDDEN.test(char))
        throw malformed(`it refers to a character that no document may hold, &${name};`);
      return char;
    });
  }
}

function malformed(message: string): XmlFault {
  return new XmlFault('malformed', message);
}
