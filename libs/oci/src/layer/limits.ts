/** What a layer that a stranger made may cost. Every one is answered with `too_large`. */
export interface LayerLimits {
  /** Bytes of the uncompressed tar, and of all files written out (sparse files count in full). */
  maxBytes: number;
  /** Files, folders and links, whiteouts included. */
  maxEntries: number;
  /** Bytes of folder, link and whiteout names that have to be remembered while unpacking. */
  maxNameBytes: number;
}

export const DEFAULT_LAYER_LIMITS: LayerLimits = {
  maxBytes: 16 * 2 ** 30,
  maxEntries: 1_000_000,
  maxNameBytes: 64 << 20,
};
