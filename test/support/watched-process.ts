/** What this process holds open: descriptors, as the kernel lists them, and every outgoing connection. */
import { readdirSync, readlinkSync } from 'node:fs';
import net from 'node:net';

/** Paths of open descriptors of this process that lead into one of the directories. */
export function descriptorsIn(directories: readonly string[]): string[] {
  return openDescriptors().filter((path) =>
    directories.some((directory) => path.startsWith(`${directory}/`)),
  );
}

export function openDescriptors(): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return [];
    }
  });
}

export interface SocketWatch {
  /** `address:port` of every connection that was made since the watch began. */
  targets: () => string[];
  /** Of these, those not closed. */
  open: () => number;
  stop: () => void;
}

/** Sees every outgoing connection of this process, by wrapping what `net` and `tls` both end in. */
export function watchSockets(): SocketWatch {
  const sockets = new Set<net.Socket>();
  const targets = new Set<string>();
  const { prototype } = net.Socket;
  const connect = Reflect.get(prototype, 'connect') as (...args: unknown[]) => net.Socket;
  prototype.connect = function (this: net.Socket, ...args: unknown[]) {
    sockets.add(this);
    this.once('close', () => sockets.delete(this));
    this.once('connect', () => {
      const address = net.isIPv6(this.remoteAddress ?? '')
        ? `[${this.remoteAddress}]`
        : this.remoteAddress;
      targets.add(`${address}:${this.remotePort}`);
    });
    return Reflect.apply(connect, this, args);
  };
  return {
    targets: () => [...targets],
    open: () => sockets.size,
    stop: () => (prototype.connect = connect as typeof prototype.connect),
  };
}
