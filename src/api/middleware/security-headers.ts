/** Headers that keep a browser from doing more with an answer than it should. Pages widen the policy for themselves. */
import type { RequestHandler } from 'express';
import helmet from 'helmet';

export function securityHeaders(): RequestHandler[] {
  return [noStore, policies()];
}

/** What is shown changes, and is for this caller; files say otherwise for themselves. */
const noStore: RequestHandler = (_request, response, next) => {
  response.set('Cache-Control', 'no-store');
  next();
};

function policies(): RequestHandler {
  return helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: { 'default-src': ["'none'"], 'frame-ancestors': ["'none'"], sandbox: [] },
    },
    // The user interface is another port of the same site.
    crossOriginResourcePolicy: { policy: 'same-site' },
    // Whoever puts TLS in front decides about it.
    strictTransportSecurity: false,
    referrerPolicy: { policy: 'no-referrer' },
  });
}
