// A ticket for one worker is taken once, and one that ends or died leaves none behind.
import { describe, expect, it } from 'vitest';
import {
  assign,
  closeAssignments,
  openAssignments,
  revokeAssignments,
  takeAssigned,
} from '../../../src/scoreboard/assignment.ts';
import { Scoreboard } from '../../../src/scoreboard/scoreboard.ts';
import { hasWaiting } from '../../../src/scoreboard/wake.ts';

const board = () => Scoreboard.create({ connectionSlots: 8, childSlots: 2, bufferBytes: 1024 });

describe('an assigned ticket', () => {
  it('is taken once, by the child it was left for', () => {
    const shared = board();
    expect(assign(shared, 1, 0)).toBe(true);
    expect(takeAssigned(shared, 0)).toBe(-1);
    expect(takeAssigned(shared, 1)).toBe(0);
    expect(takeAssigned(shared, 1)).toBe(-1);
  });

  it('keeps its child from sleeping', () => {
    const shared = board();
    assign(shared, 1, 5);
    expect(hasWaiting(shared, 1)).toBe(true);
    takeAssigned(shared, 1);
    expect(hasWaiting(shared, 1)).toBe(false);
  });

  it('finds no room beside another one', () => {
    const shared = board();
    assign(shared, 1, 5);
    expect(assign(shared, 1, 6)).toBe(false);
    expect(takeAssigned(shared, 1)).toBe(5);
  });

  it('keeps its child from ending', () => {
    const shared = board();
    assign(shared, 1, 5);
    expect(closeAssignments(shared, 1)).toBe(false);
    takeAssigned(shared, 1);
    expect(closeAssignments(shared, 1)).toBe(true);
    expect(closeAssignments(shared, 1)).toBe(true);
  });

  it('is refused by a child that has ended, until the next life', () => {
    const shared = board();
    closeAssignments(shared, 1);
    expect(assign(shared, 1, 5)).toBe(false);
    expect(hasWaiting(shared, 1)).toBe(false);
    openAssignments(shared, 1);
    expect(assign(shared, 1, 5)).toBe(true);
  });

  it('is found when its child has died, and stays for the next life if it came later', () => {
    const shared = board();
    assign(shared, 1, 5);
    expect(revokeAssignments(shared, 1)).toBe(5);
    expect(assign(shared, 1, 6)).toBe(false);
    openAssignments(shared, 1);
    assign(shared, 1, 7);
    openAssignments(shared, 1);
    expect(takeAssigned(shared, 1)).toBe(7);
  });
});
