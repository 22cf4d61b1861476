import type { Socket } from 'node:net';

/**
 * Writes a head and the first pieces of its body, in one write when they are small. Returns false when the socket
 * wants no more for now (as `socket.write` does).
 * @param head latin1 text
 */
export function writeMessage(
  socket: Socket,
  head: string,
  pieces: readonly Buffer[],
  smallBytes: number,
): boolean {
  let size = 0;
  for (const piece of pieces) size += piece.length;
  if (size <= smallBytes) {
    let text = head;
    for (const piece of pieces) text += piece.toString('latin1');
    return socket.write(text, 'latin1');
  }
  socket.cork();
  let ready = socket.write(head, 'latin1');
  for (const piece of pieces) ready = socket.write(piece);
  socket.uncork();
  return ready;
}

/** Writes pieces of a body; returns false when the socket wants no more for now. */
export function writePieces(socket: Socket, pieces: readonly Buffer[]): boolean {
  let ready = true;
  if (pieces.length > 1) socket.cork();
  for (const piece of pieces) ready = socket.write(piece);
  if (pieces.length > 1) socket.uncork();
  return ready;
}
