/**
 * Whom TLS believes: the roots that Node brings, those of NODE_EXTRA_CA_CERTS, and those of the system where Node can read
 * them (22.19 and 24.5 on). Nothing is ever taken away, and verification is never turned off.
 */

export interface TrustStore {
  getCACertificates?: (type: 'default' | 'system') => string[];
  setDefaultCACertificates?: (certificates: string[]) => void;
}

export function trustSystem(store: TrustStore): void {
  const { getCACertificates, setDefaultCACertificates } = store;
  if (!getCACertificates || !setDefaultCACertificates) return;
  const known = new Set(getCACertificates('default'));
  const system = getCACertificates('system').filter((certificate) => !known.has(certificate));
  if (system.length > 0) setDefaultCACertificates([...known, ...system]);
}
