/** Tickets for browsers' event streams. */
import type { Mount } from '../mount.js';
import { operations } from '../operations.js';
import type { Tickets } from '../tickets.js';

export function ticketRoutes(tickets: Tickets, mount: Mount): void {
  mount(operations.createTicket, ({ response }) => {
    response.json({ ticket: tickets.issue() });
  });
}
