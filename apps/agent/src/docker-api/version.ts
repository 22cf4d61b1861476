/** What this API speaks (Docker Engine API); clients ask for a version in the path or take the newest. */
export const API_VERSION = '1.41';
export const MIN_API_VERSION = '1.24';

/** Negative when `a` is older than `b`. Versions are `<major>.<minor>`. */
export function compareVersions(a: string, b: string): number {
  const [aMajor = 0, aMinor = 0] = a.split('.').map(Number);
  const [bMajor = 0, bMinor = 0] = b.split('.').map(Number);
  return aMajor - bMajor || aMinor - bMinor;
}
