/** Tickets for event streams: short-lived, good once, kept in the memory of the process that gave them. */
import { randomBytes } from 'node:crypto';

const MOST_TICKETS = 10_000;

export interface Tickets {
  issue(): string;
  /** True once for each ticket that is still good. */
  redeem(ticket: string): boolean;
}

export function createTickets(lifetimeMs: number, now: () => number): Tickets {
  const expiries = new Map<string, number>();
  /** Insertion order is order of expiry. */
  const dropOld = (): void => {
    for (const [ticket, expiresMs] of expiries) {
      if (expiresMs > now() && expiries.size < MOST_TICKETS) return;
      expiries.delete(ticket);
    }
  };
  return {
    issue() {
      dropOld();
      const ticket = randomBytes(32).toString('base64url');
      expiries.set(ticket, now() + lifetimeMs);
      return ticket;
    },
    redeem(ticket) {
      const expiresMs = expiries.get(ticket);
      expiries.delete(ticket);
      return expiresMs !== undefined && expiresMs > now();
    },
  };
}
