import { connect } from 'node:net';

/** Resolves true once something accepts a TCP connection, false when it is refused or not answered in time. */
export type Probe = (target: { host: string; port: number }, timeoutMs: number) => Promise<boolean>;

export const tcpProbe: Probe = ({ host, port }, timeoutMs) =>
  new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (accepted: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(accepted);
    };
    // After a round of I/O: an agent that was kept from running must not take its own lateness for the instance's.
    const timer = setTimeout(() => setImmediate(() => end(false)), timeoutMs);
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });
