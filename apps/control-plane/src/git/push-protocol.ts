/**
 * What the proc-receive hook and the control plane say to each other: one POST over a unix socket with the commands,
 * answered with newline-delimited JSON: lines for the pusher, at last the results. The hook
 * imports this file, so it imports nothing.
 */
export interface PushCommand {
  old: string;
  new: string;
  ref: string;
}

/** `git` leaves the command to receive-pack itself; `done` says that it was carried out here. */
export type PushOutcome = { kind: 'done' } | { kind: 'git' } | { kind: 'refused'; reason: string };

export type PushMessage = { line: string } | { results: { ref: string; outcome: PushOutcome }[] };

/** The environment of a hook: where to call, and the secret of this one push. */
export const HOOK_ENV = {
  socket: 'GANTRY_PUSH_SOCKET',
  id: 'GANTRY_PUSH_ID',
  secret: 'GANTRY_PUSH_SECRET',
} as const;
