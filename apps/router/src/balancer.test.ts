import { describe, expect, it } from 'vitest';
import { type Candidate, pickTarget } from './balancer.ts';

const target = (more: Partial<Candidate> = {}): Candidate => ({
  inFlight: 0,
  retired: false,
  ejectedUntil: 0,
  ...more,
});
const none: ReadonlySet<Candidate> = new Set();

describe('pickTarget', () => {
  it('takes the less busy of two', () => {
    const [busy, free] = [target({ inFlight: 5 }), target({ inFlight: 4 })];
    for (let i = 0; i < 50; i++) expect(pickTarget([busy, free], { nowMs: 0, tried: none })).toBe(free);
  });

  it('never takes the busiest of many, and spreads over the rest', () => {
    const targets = [9, 1, 1, 1, 1].map((inFlight) => target({ inFlight }));
    const picked = new Set(Array.from({ length: 500 }, () => pickTarget(targets, { nowMs: 0, tried: none })));
    expect(picked).toEqual(new Set(targets.slice(1)));
  });

  it('compares two different ones, whatever the dice say', () => {
    const targets = [target({ inFlight: 3 }), target({ inFlight: 2 }), target({ inFlight: 1 })];
    for (const value of [0, 0.5, 0.999999]) {
      const picked = pickTarget(targets, { nowMs: 0, tried: none, random: () => value });
      expect(picked).not.toBe(targets[0]);
    }
  });

  it('passes ejected ones over until their time is up', () => {
    const [ejected, free] = [target({ ejectedUntil: 100 }), target({ inFlight: 50 })];
    expect(pickTarget([ejected, free], { nowMs: 99, tried: none })).toBe(free);
    expect(pickTarget([ejected, free], { nowMs: 100, tried: none })).toBe(ejected);
  });

  it('takes an ejected one rather than none', () => {
    const [a, b] = [target({ ejectedUntil: 100 }), target({ ejectedUntil: 100 })];
    expect(pickTarget([a], { nowMs: 0, tried: none })).toBe(a);
    expect(pickTarget([a, b], { nowMs: 0, tried: new Set([a]) })).toBe(b);
  });

  it('takes none that was tried or has retired', () => {
    const [tried, retired] = [target(), target({ retired: true })];
    expect(pickTarget([tried, retired], { nowMs: 0, tried: new Set([tried]) })).toBeUndefined();
    expect(pickTarget([retired], { nowMs: 0, tried: none })).toBeUndefined();
    expect(pickTarget([], { nowMs: 0, tried: none })).toBeUndefined();
  });
});
