import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { PlatformError } from '#libs/errors';
import type { Exec } from '#libs/host';

const MAX_STDERR_BYTES = 8 << 10;
/** Bytes waiting for the child, so that decompression and unpacking run side by side. */
const MAX_WAITING_BYTES = 8 << 20;

/** Capabilities that unpacking files takes. */
const FILE_CAPABILITIES = ['chown', 'dac_override', 'fowner', 'fsetid', 'setfcap', 'sys_chroot'];

export type ExtractionPurpose = 'files' | 'opaque-folders' | 'hidden-names';
const PURPOSES: Record<ExtractionPurpose, { capabilities: readonly string[]; flags: readonly string[] }> = {
  /** A stranger's files: no device nodes, no `trusted.` attributes, whatever the archive says. */
  files: { capabilities: FILE_CAPABILITIES, flags: [] },
  /** Our own archive of folders that carry `trusted.overlay.opaque`. */
  'opaque-folders': { capabilities: [...FILE_CAPABILITIES, 'sys_admin'], flags: [] },
  /** Our own archive of character devices 0:0; what exists is kept. */
  'hidden-names': { capabilities: [...FILE_CAPABILITIES, 'mknod'], flags: ['-k'] },
};

export interface ConfinedExtraction {
  exec: Exec;
  target: string;
  purpose: ExtractionPurpose;
}

/**
 * A tar being unpacked by a child that is locked into the target folder by chroot, with few capabilities. libarchive is
 * told to look up no user names and to convert no file names: both would load code from inside the folder.
 */
export class TarExtraction {
  readonly #child: ChildProcess;
  readonly #exit: Promise<number>;
  #stderr = '';

  constructor({ exec, target, purpose }: ConfinedExtraction) {
    const { capabilities, flags } = PURPOSES[purpose];
    const bounding = ['-all', ...capabilities.map((capability) => `+${capability}`)].join(',');
    const confine = [
      '--no-new-privs',
      '--pdeathsig',
      'KILL',
      '--inh-caps',
      '-all',
      '--bounding-set',
      bounding,
    ];
    const unpack = ['-x', '-p', '-P', '--chroot', '--numeric-owner', '--xattrs', '--no-acls', '--no-fflags'];
    const args = [...confine, '--', 'bsdtar', ...unpack, ...flags, '-C', target, '-f', '-'];
    this.#child = exec.spawn('setpriv', args, {
      stdio: ['pipe', 'ignore', 'pipe'],
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
    });
    this.#child.stdin?.on('error', () => {}); // it ended early; `end` says why
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      if (this.#stderr.length < MAX_STDERR_BYTES) this.#stderr += chunk.toString('utf8');
    });
    this.#exit = new Promise((resolve, reject) => {
      this.#child.on('error', reject);
      this.#child.on('close', (code) => resolve(code ?? 128));
    });
    this.#exit.catch(() => {}); // reported by `end`
  }

  /** Hands over bytes; resolves when there is room for more. False once the child takes no more: call `end` then. */
  async write(bytes: Buffer): Promise<boolean> {
    const { stdin } = this.#child;
    if (!stdin || stdin.destroyed || stdin.writableEnded) return false;
    if (stdin.write(bytes) || stdin.writableLength < MAX_WAITING_BYTES) return true;
    const settled = new AbortController();
    try {
      const { signal } = settled;
      await Promise.race([once(stdin, 'drain', { signal }), once(stdin, 'close', { signal }), this.#exit]);
    } finally {
      settled.abort();
    }
    return !stdin.destroyed;
  }

  /** Ends the archive and waits for the child. Throws `invalid_input` or `unavailable` when it could not unpack all. */
  async end(): Promise<void> {
    this.#child.stdin?.end();
    let code: number;
    try {
      code = await this.#exit;
    } catch (error) {
      throw new PlatformError('unavailable', 'a layer cannot be unpacked: setpriv could not be started', {
        cause: error,
        hint: 'Install the Debian packages util-linux and libarchive-tools.',
      });
    }
    if (code === 0) return;
    const said = printable(this.#stderr);
    if (code === 127) {
      throw new PlatformError('unavailable', `a layer cannot be unpacked: ${said}`, {
        hint: 'Install the Debian package libarchive-tools.',
      });
    }
    if (/No space left|Disk quota exceeded|Read-only file system|Input\/output error/.test(said)) {
      throw new PlatformError('unavailable', `a layer cannot be written to disk: ${said}`, {
        hint: 'Free some space, then try again.',
      });
    }
    throw new PlatformError(
      'invalid_input',
      `the layer cannot be unpacked: ${said || `bsdtar ended with ${code}`}`,
    );
  }

  /** Kills the child and waits until it is gone. */
  async abort(): Promise<void> {
    this.#child.kill('SIGKILL');
    this.#child.stdin?.destroy();
    await this.#exit.catch(() => {});
  }
}

function printable(text: string): string {
  const lines = text.trim().split('\n').slice(-3).join('; ');
  return lines.replace(/\p{Cc}/gu, '?').slice(0, 500);
}
