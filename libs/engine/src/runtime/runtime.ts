import { constants } from 'node:fs';
import { access, open, rm, unlink } from 'node:fs/promises';
import path from 'node:path';
import { isSystemError, PlatformError } from '#libs/errors';
import type { Clock } from '#libs/host';
import type { CgroupLayout } from '../kernel/cgroups.ts';
import { findProgram, requireProgram } from '../kernel/programs.ts';

/** An OCI runtime, as far as the engine drives it itself; `create` goes through conmon. */
export interface Runtime {
  readonly name: 'crun' | 'runc';
  /** Absolute path of the program. */
  readonly program: string;
  /** Folder in which it keeps the state of this installation's containers. */
  readonly stateFolder: string;
  /**
   * Lets the process that `create` prepared run. `alive` tells whether it still waits; throws `unavailable` when it does
   * not or does not answer in time.
   */
  start(runtimeId: string, alive: () => boolean): Promise<void>;
  /** Whether the container has not been let run yet. */
  isWaiting(runtimeId: string): Promise<boolean>;
  /** Forgets a container whose process is gone. */
  forget(runtimeId: string): Promise<void>;
}

const START_TIMEOUT_MS = 10_000;

/**
 * Waits in `create` on a FIFO, as runc and crun both do: the one side opens it for writing, the other for reading.
 * Releasing it here saves the 15–20 ms of a `runtime start` process.
 */
abstract class FifoRuntime implements Runtime {
  abstract readonly name: 'crun' | 'runc';

  constructor(
    readonly program: string,
    readonly stateFolder: string,
    private readonly clock: Clock,
  ) {}

  /** One try to release; true when the process went on. Never blocks. */
  protected abstract tryRelease(fifo: string): Promise<boolean>;

  #fifo(runtimeId: string): string {
    return path.join(this.stateFolder, runtimeId, 'exec.fifo');
  }

  async start(runtimeId: string, alive: () => boolean): Promise<void> {
    const deadline = this.clock.now() + START_TIMEOUT_MS;
    const fifo = this.#fifo(runtimeId);
    while (!(await this.tryRelease(fifo))) {
      if (!alive()) {
        throw new PlatformError('unavailable', `the container ${runtimeId} ended before it was started`);
      }
      if (this.clock.now() > deadline) {
        throw new PlatformError('unavailable', `the container ${runtimeId} did not start within 10 s`);
      }
      await this.clock.sleep(1);
    }
    await unlink(fifo).catch(() => {}); // some versions unlink it themselves
  }

  async isWaiting(runtimeId: string): Promise<boolean> {
    return access(this.#fifo(runtimeId)).then(
      () => true,
      () => false,
    );
  }

  async forget(runtimeId: string): Promise<void> {
    await rm(path.join(this.stateFolder, runtimeId), { recursive: true, force: true });
  }
}

class Runc extends FifoRuntime {
  readonly name = 'runc' as const;

  /** runc's init writes one byte once somebody reads; non-blocking, since it may be dead and never come. */
  protected async tryRelease(fifo: string): Promise<boolean> {
    const handle = await openFifo(fifo, constants.O_RDONLY);
    if (!handle) return false;
    try {
      for (let tries = 0; tries < 20; tries++) {
        const got = await handle.read(Buffer.alloc(1), 0, 1, null).catch((error: unknown) => {
          if (isSystemError(error, 'EAGAIN')) return { bytesRead: 0 };
          throw error;
        });
        if (got.bytesRead > 0) return true;
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      return false;
    } finally {
      await handle.close();
    }
  }
}

class Crun extends FifoRuntime {
  readonly name = 'crun' as const;

  /** crun's init reads one byte; opening for writing fails (ENXIO) until it does. */
  protected async tryRelease(fifo: string): Promise<boolean> {
    const handle = await openFifo(fifo, constants.O_WRONLY);
    if (!handle) return false;
    try {
      await handle.write(Buffer.alloc(1));
      return true;
    } finally {
      await handle.close();
    }
  }
}

async function openFifo(fifo: string, mode: number) {
  try {
    return await open(fifo, mode | constants.O_NONBLOCK);
  } catch (error) {
    if (isSystemError(error, 'ENXIO', 'ENOENT')) return undefined;
    throw error;
  }
}

/**
 * The runtime for this machine: crun where cgroups are pure v2 and it is installed, else runc; Debian's crun refuses
 * hybrid hierarchies. Throws `unsupported` when there is none.
 */
export async function chooseRuntime(
  layout: CgroupLayout,
  stateFolder: string,
  clock: Clock,
): Promise<Runtime> {
  const crun = layout.mode === 'unified' ? await findProgram('crun') : undefined;
  if (crun) return new Crun(crun, stateFolder, clock);
  const debianPackage = layout.mode === 'unified' ? 'crun' : 'runc';
  return new Runc(await requireProgram('runc', debianPackage), stateFolder, clock);
}

/** The runtime of a given name, for containers that an earlier process made with it. */
export function runtimeNamed(name: 'crun' | 'runc', chosen: Runtime, clock: Clock): Runtime {
  if (chosen.name === name) return chosen;
  const Kind = name === 'crun' ? Crun : Runc;
  return new Kind(name, chosen.stateFolder, clock);
}
