/** `nimbus get` */
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { GetOptions } from '../actions/get.js';
import { toCount } from '../option-values.js';
import type { TerminalRunner } from '../terminal.js';

const collect = (value: string, before: string[] = []): string[] => [...before, value];

function toSeconds(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 86_400))
    throw new InvalidArgumentError('Not a number of seconds from 0 to 86400.');
  return value;
}

export function addGet(program: Command, run: TerminalRunner): void {
  program
    .command('get')
    .argument('[urls...]', 'http or https')
    .description('fetch URLs to files, verified and resumed; needs no server')
    .option('-o, --out <folder>', 'where files go', '.')
    .option('--name <file>', 'what the file of a single URL is called')
    .option('--overwrite', 'put the new file in the place of one with other content')
    .option(
      '--sums <file>',
      'digests as md5sum, sha256sum or b3sum write them; repeatable',
      collect,
    )
    .addOption(
      new Option(
        '--algorithm <name>',
        'what 64 digits in --sums are (default: by its name)',
      ).choices(['sha256', 'sha3-256', 'blake3']),
    )
    .option('--checksum <algorithm:digest>', 'of the file of a single URL; repeatable', collect)
    .option('-i, --input <file>', 'a list of URLs, one a line; - is standard input', collect)
    .option('-x, --connections <number>', 'connections in all, over all files', toCount(64), 4)
    .option('-j, --files <number>', 'files at once', toCount(64), 4)
    .option('-H, --header <line>', "Name: value, for the URL's own host; repeatable", collect)
    .option('--limit-rate <rate>', 'bytes a second in all, such as 500k or 2M')
    .option(
      '--timeout <seconds>',
      'longest silence before it is asked again (default: 10, and 60 until an answer begins)',
      toSeconds,
    )
    .option('--tries <number>', 'tries in a row that bring next to nothing', toCount(1000), 5)
    .option('--every-digest', 'compare every digest given, not the cheapest of them alone')
    .option('-q, --quiet', 'say only what goes wrong')
    .addHelpText('after', help)
    .action(
      run<GetOptions>(async (terminal, options, ...urls) =>
        (await import('../actions/get.js')).get(terminal, options, ...urls),
      ),
    );
}

const help = `
Examples:
  $ nimbus get https://example.org/data/product.zip --checksum md5:9e107d9d372bb6826bd81d3542a419d6
  $ nimbus get --sums MD5SUMS --sums B3SUMS --out data https://example.org/data/{a,b,c}.zip
  $ nimbus get -i urls.txt -H 'Authorization: Bearer …' --connections 2

A file under its final name is whole: its digest agrees, or, without one, its structure or length. Stop it at any time
and run the same command again: it goes on from what lies in <folder>/.nimbus-get, where unfinished bytes are kept.
A file that is there already with the right digest is not fetched again; one with other content is never replaced
without --overwrite. Exit code 1 if a digest is wrong; any other than 0 if a file is missing.`;
