/**
 * One SQLite file, opened at the first call and again if the file was replaced or removed. WAL, so that readers and
 * the one writer do not wait for each other; synchronous=NORMAL loses nothing to a killed process (a power cut may take
 * the last moments, which a rebuild brings back). Several processes may share the file.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import Database from 'libsql';
import { ServiceError } from '../../jobs/error-codes.js';
import { schema } from './schema.js';

/** How long to wait for another process's transaction. */
const BUSY_TIMEOUT_MS = 2_000;

type Value = string | number | null;

export interface SqliteStore {
  all<Row>(sql: string, ...values: Value[]): Row[];
  get<Row>(sql: string, ...values: Value[]): Row | undefined;
  run(sql: string, ...values: Value[]): { changes: number };
  /** Runs `work` in one write transaction. */
  transact<T>(work: () => T): T;
  close(): void;
}

interface Opened {
  database: Database.Database;
  statements: Map<string, Database.Statement>;
  inode: number;
}

/** @throws ServiceError StoreUnavailable from every method, for everything that SQLite refuses */
export function createSqliteStore(path: string): SqliteStore {
  let opened: Opened | null = null;

  function current(): Opened {
    if (opened && inodeOf(path) === opened.inode) return opened;
    close();
    return (opened = open(path));
  }

  function close(): void {
    opened?.statements.clear();
    opened?.database.close();
    opened = null;
  }

  function statement(sql: string): Database.Statement {
    const { database, statements } = current();
    let prepared = statements.get(sql);
    if (!prepared) statements.set(sql, (prepared = database.prepare(sql)));
    return prepared;
  }

  return {
    all: (sql, ...values) => translated(() => statement(sql).all(values) as never),
    get: (sql, ...values) => translated(() => statement(sql).get(values) as never),
    run: (sql, ...values) => translated(() => statement(sql).run(values)),
    transact: (work) =>
      translated(() => {
        const { database } = current();
        database.exec('BEGIN IMMEDIATE');
        try {
          const result = work();
          database.exec('COMMIT');
          return result;
        } catch (error) {
          if (database.inTransaction) database.exec('ROLLBACK');
          throw error;
        }
      }),
    close,
  };
}

/** One folder at a time: Node's `recursive` never ends where a parent exists and the system answers ENOENT, as /proc does. */
function makeFolder(folder: string): void {
  if (existsSync(folder)) return;
  makeFolder(dirname(folder));
  try {
    mkdirSync(folder);
  } catch (error) {
    if (!existsSync(folder)) throw error;
  }
}

function open(path: string): Opened {
  makeFolder(dirname(path));
  const database = new Database(path, { timeout: BUSY_TIMEOUT_MS });
  try {
    database.exec('PRAGMA journal_mode = WAL');
    database.exec('PRAGMA synchronous = NORMAL');
    database.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
    database.exec(schema);
    database
      .prepare('INSERT OR IGNORE INTO feed (id, epoch, seq, reports) VALUES (1, ?, 0, 0)')
      .run(randomUUID());
    return { database, statements: new Map(), inode: inodeOf(path) };
  } catch (error) {
    database.close();
    throw error;
  }
}

function inodeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.ino ?? 0;
}

function translated<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    const code = (error as { code?: unknown }).code;
    const foreign = error instanceof Database.SqliteError || typeof code === 'string';
    if (error instanceof ServiceError || !foreign) throw error;
    throw new ServiceError('StoreUnavailable', `SQLite is unavailable: ${String(code)}`, {
      cause: error,
    });
  }
}
