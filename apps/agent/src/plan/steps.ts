import type { DesiredBuild, DesiredInstance } from '#libs/contract';

/** What each kind of step needs to know. Every step can be repeated after a crash. */
interface StepFacts {
  /** Makes the image's layers available; interrupted when no longer wanted. */
  'pull-image': { instance: DesiredInstance };
  'create-instance': { instance: DesiredInstance; attempt: number };
  'start-instance': { instance: DesiredInstance; containerId: string };
  /** Ends a process that the platform judges broken; its exit then counts as a crash with `reason`. */
  'kill-instance': { containerId: string; reason: string };
  /** Sends the last lines of an ended process, then counts the crash and decides when to try again. */
  'settle-exit': { instance: DesiredInstance; containerId: string; attempt: number };
  'stop-instance': { containerId: string; graceMs: number };
  'remove-instance': { containerId: string };
  /** Drops the record of an instance that is neither desired nor there. */
  'forget-instance': { instanceId: string };
  'start-build': { build: DesiredBuild };
  'cancel-build': { buildId: string };
  'remove-volume': { volumeId: string };
}

export type StepKind = keyof StepFacts;

/**
 * One step of a plan. `key` is what it works on (an instance, a build, a volume): at most one step per key runs at a
 * time, so a plan holds only the next step of each.
 */
export type Step<K extends StepKind = StepKind> = { [S in K]: { kind: S; key: string } & StepFacts[S] }[K];
