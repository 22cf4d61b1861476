import { describe, expect, it } from 'vitest';
import { chooseNode, type NodeFacts } from './choose-node.ts';

const GIB = 2 ** 30;
const node = (id: string, change: Partial<NodeFacts> = {}): NodeFacts => ({
  id,
  ready: true,
  memoryBytes: 4 * GIB,
  memoryPlacedBytes: 0,
  peers: 0,
  ...change,
});
const request = { memoryBytes: GIB, pinnedTo: null };

describe('chooseNode', () => {
  it('spreads a service before it looks at memory', () => {
    expect(chooseNode([node('a', { peers: 1 }), node('b', { memoryPlacedBytes: GIB })], request)).toEqual({
      node: 'b',
    });
  });

  it('takes the one with most free memory, then the lowest id', () => {
    expect(chooseNode([node('a', { memoryPlacedBytes: GIB }), node('b')], request)).toEqual({ node: 'b' });
    expect(chooseNode([node('b'), node('a')], request)).toEqual({ node: 'a' });
  });

  it('stays with the node of the volume, or says why not', () => {
    expect(chooseNode([node('a'), node('b')], { ...request, pinnedTo: 'b' })).toEqual({ node: 'b' });
    expect(
      chooseNode([node('a'), node('b', { ready: false })], { ...request, pinnedTo: 'b' }),
    ).toHaveProperty('refused');
  });

  it('refuses when nothing is ready or nothing has room', () => {
    expect(chooseNode([node('a', { ready: false })], request)).toEqual({
      refused: 'no worker node is ready',
    });
    expect(chooseNode([node('a', { memoryPlacedBytes: 16 * GIB })], request)).toHaveProperty('refused');
  });
});
