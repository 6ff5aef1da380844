// The declaration of bytes: every field has room of its own, and no cache line has two writers.
import { describe, expect, it } from 'vitest';
import { Bitmap } from '../../../src/scoreboard/bitmap.ts';
import { HALF_BYTES, recordAt, recordsBytes, SECOND_HALF } from '../../../src/scoreboard/halves.ts';
import {
  CACHE_LINE,
  CHILD,
  CHILD_BYTES,
  EXEMPLAR,
  EXEMPLAR_BYTES,
  extendedSectionsFor,
  type Field,
  HEADER,
  HEADER_BYTES,
  HISTOGRAM_BOUNDS,
  LOG_HEADER,
  LOG_HEADER_BYTES,
  LOG_RING,
  LOG_RING_STRIDE,
  MAX_ROUTE_UNITS,
  MAX_SERIES,
  MAX_SESSION_PROTOCOLS,
  MAX_SESSION_STATE_LENGTH,
  MAX_SESSION_STATES,
  NOTICE_BYTES,
  OTHER_SERIES,
  PROTOCOL,
  PROTOCOL_BYTES,
  PROTOCOL_NAME_BYTES,
  REQUEST,
  ROUTES,
  SERIES,
  SERIES_BYTES,
  SERIES_COUNTS,
  SERIES_COUNTS_BYTES,
  SLOT,
  SPARE_BUFFERS,
  sectionsFor,
  TRAIL,
  TRAIL_BYTES,
  TRAIL_LENGTH,
  TRAIL_ROOM,
} from '../../../src/scoreboard/layout.ts';
import { TicketRing } from '../../../src/scoreboard/ticket-ring.ts';

const RECORDS: readonly [string, Readonly<Record<string, Field>>, number][] = [
  ['HEADER', HEADER, HEADER_BYTES],
  ['CHILD', CHILD, CHILD_BYTES],
  ['SLOT', SLOT, SECOND_HALF + HALF_BYTES],
  ['LOG_HEADER', LOG_HEADER, LOG_HEADER_BYTES],
  ['LOG_RING', LOG_RING, LOG_RING_STRIDE],
  ['REQUEST', REQUEST, SECOND_HALF + HALF_BYTES],
  ['TRAIL', TRAIL, TRAIL_BYTES],
  ['SERIES', SERIES, SERIES_BYTES],
  ['SERIES_COUNTS', SERIES_COUNTS, SERIES_COUNTS_BYTES],
  ['EXEMPLAR', EXEMPLAR, EXEMPLAR_BYTES],
  ['PROTOCOL', PROTOCOL, PROTOCOL_BYTES],
];
const elementBytes = ({ type }: Field): number => (type === 'f64' ? 8 : type === 'bytes' ? 1 : 4);
const endOf = (field: Field): number => field.offset + elementBytes(field) * field.count;

/**
 * Lines in which a word that is moved by compare-and-swap stands among fields of one writer, and why.
 * Everywhere else such words have a line of their own.
 */
const SHARED_LINES: Readonly<Record<string, string>> = {
  'SLOT 0 owner': 'whoever moves the state word writes the fields next to it right before',
};

describe.each(RECORDS)('%s', (name, fields, bytes) => {
  const entries = Object.entries(fields).sort(([, a], [, b]) => a.offset - b.offset);

  it('has fields that do not overlap', () => {
    for (const [index, [field, declared]] of entries.entries()) {
      const [next, behind] = entries[index + 1] ?? ['the end', { offset: bytes } as Field];
      expect(endOf(declared), `${field} reaches into ${next}`).toBeLessThanOrEqual(behind.offset);
    }
  });

  it('has fields that are aligned', () => {
    const crooked = entries.filter(([, field]) => field.offset % elementBytes(field) !== 0);
    expect(crooked).toEqual([]);
  });

  it('has one writer to a cache line', () => {
    const writers = new Map<number, Set<string>>();
    for (const [, field] of entries) {
      const last = Math.floor((endOf(field) - 1) / CACHE_LINE);
      for (let line = Math.floor(field.offset / CACHE_LINE); line <= last; line++) {
        writers.set(line, (writers.get(line) ?? new Set()).add(field.writer));
      }
    }
    const mixed = [...writers].filter(([, { size }]) => size > 1);
    const described = mixed.map(
      ([line, who]) => `${name} ${line} ${[...who].filter((writer) => writer !== 'cas').join(' ')}`,
    );
    expect(described).toEqual(Object.keys(SHARED_LINES).filter((line) => line.startsWith(name)));
  });

  it('says of each field what it means', () => {
    expect(entries.filter(([, { meaning }]) => meaning.trim() === '')).toEqual([]);
  });
});

describe('the records', () => {
  it('begin at a cache line wherever they stand', () => {
    const records = RECORDS.map(([name, , bytes]) => [name, bytes % CACHE_LINE]);
    expect(records).toEqual(RECORDS.map(([name]) => [name, 0]));
  });

  it('have room for the names of a session protocol and its states', () => {
    expect(PROTOCOL_NAME_BYTES).toBeGreaterThanOrEqual(MAX_SESSION_STATE_LENGTH);
    expect(PROTOCOL.names.count).toBe((1 + MAX_SESSION_STATES) * PROTOCOL_NAME_BYTES);
  });

  it('have a slot whose line of the state word is not the line the kernel side writes at accept alone', () => {
    // fd stands beside the word, the peer on the next line: one accept dirties two lines, not three.
    expect(Math.floor(SLOT.fd.offset / CACHE_LINE)).toBe(0);
    expect(Math.floor(SLOT.peerFamily.offset / CACHE_LINE)).toBe(1);
    expect(endOf(SLOT.peerAddress)).toBeLessThanOrEqual(2 * CACHE_LINE);
  });
});

describe('the two halves of a record', () => {
  it.each([
    ['SLOT', SLOT],
    ['REQUEST', REQUEST],
  ])('of %s hold each field whole', (_, fields: Readonly<Record<string, Field>>) => {
    const outside = Object.entries(fields).filter(([, declared]) => {
      const inFirst = endOf(declared) <= HALF_BYTES;
      const inSecond =
        declared.offset >= SECOND_HALF && endOf(declared) <= SECOND_HALF + HALF_BYTES;
      return !inFirst && !inSecond;
    });
    expect(outside).toEqual([]);
  });

  it('are no half of another record, and within what the records span', () => {
    const slots = 2500;
    const starts = Array.from({ length: slots }, (_, slot) => [
      recordAt(slot),
      recordAt(slot) + SECOND_HALF,
    ]).flat();
    expect(new Set(starts).size).toBe(2 * slots);
    expect(starts.filter((start) => start % HALF_BYTES !== 0)).toEqual([]);
    expect(Math.max(...starts) + HALF_BYTES).toBeLessThanOrEqual(recordsBytes(slots));
  });

  it('stand so that first halves and second halves share few pages, wherever the memory begins', () => {
    const slots = 8000;
    const page = 4096;
    for (const begins of [0, 16, 1600, 4080]) {
      const pages = new Set<number>();
      for (let slot = 0; slot < slots; slot++) {
        pages.add(Math.floor((begins + recordAt(slot)) / page));
        pages.add(Math.floor((begins + recordAt(slot) + HALF_BYTES - 1) / page));
      }
      // Bytes of memory for each connection that leaves its second half alone.
      expect((pages.size * page) / slots).toBeLessThan(HALF_BYTES * 1.05);
    }
  });

  it('take no more address space for a bound that fills its groups than they need', () => {
    expect(recordsBytes(2048)).toBe(2048 * 2 * HALF_BYTES);
    expect(recordsBytes(1)).toBe(2 * SECOND_HALF);
  });
});

describe('the histograms', () => {
  const fields = { ...HEADER, queueWait: CHILD.queueWait, responseSize: CHILD.responseSize };

  it.each(
    Object.keys(HISTOGRAM_BOUNDS) as (keyof typeof HISTOGRAM_BOUNDS)[],
  )('%s has rising bounds, and room for one more bucket and the sum', (name) => {
    const bounds: readonly number[] = HISTOGRAM_BOUNDS[name];
    expect([...bounds].sort((one, other) => one - other)).toEqual(bounds);
    expect(new Set(bounds).size).toBe(bounds.length);
    expect(fields[name].count).toBe(bounds.length + 2);
  });

  it('of routes have room for what is kept of a route and of a trail', () => {
    expect(SERIES.route.count).toBe(MAX_ROUTE_UNITS * 2);
    expect(TRAIL.entries.count).toBe(TRAIL_ROOM);
    expect(TRAIL_LENGTH).toBeLessThan(TRAIL_ROOM);
  });
});

describe('the sections', () => {
  it.each([
    { connectionSlots: 1, childSlots: 1 },
    { connectionSlots: 511, childSlots: 3 },
    { connectionSlots: 512, childSlots: 16 },
    { connectionSlots: 513, childSlots: 511 },
    { connectionSlots: 20_000, childSlots: 1_000 },
  ])('follow one another without overlap: $connectionSlots connections, $childSlots children', (size) => {
    const sections = sectionsFor({ ...size, bufferBytes: 1024 });
    const ringBytes = TicketRing.bytes(sections.ringCapacity);
    const parts = [
      [0, HEADER_BYTES],
      [sections.children, (size.childSlots + 1) * CHILD_BYTES],
      [sections.connections, recordsBytes(size.connectionSlots)],
      [sections.ring, ringBytes],
      [sections.handback, ringBytes],
      [sections.idle, Bitmap.bytes(size.childSlots)],
      [sections.lengthyRing, ringBytes],
      [sections.lengthyIdle, Bitmap.bytes(size.childSlots)],
      [sections.freeBuffers, Bitmap.bytes(sections.bufferCount)],
      [sections.routes, ROUTES * 4],
      [
        sections.notices,
        CACHE_LINE * Math.ceil((size.connectionSlots * NOTICE_BYTES) / CACHE_LINE),
      ],
      [sections.protocols, MAX_SESSION_PROTOCOLS * PROTOCOL_BYTES],
      [sections.inboxes, size.childSlots * Bitmap.bytes(size.connectionSlots)],
      [sections.totalBytes, 0],
    ] as const;
    for (const [index, [start, bytes]] of parts.slice(0, -1).entries()) {
      expect(start % CACHE_LINE).toBe(0);
      expect(start + bytes).toBe(parts[index + 1]?.[0]);
    }
  });

  it('of extendedStatus follow one another without overlap', () => {
    const size = { connectionSlots: 513, childSlots: 7, bufferBytes: 1024 };
    const sections = extendedSectionsFor(size);
    const stride = (MAX_SERIES + OTHER_SERIES) * SERIES_COUNTS_BYTES;
    const exemplarsStride = (MAX_SERIES + OTHER_SERIES) * EXEMPLAR_BYTES;
    expect(sections).toEqual({
      requests: 0,
      trails: recordsBytes(513),
      series: recordsBytes(513) + 513 * TRAIL_BYTES,
      counts: sections.series + MAX_SERIES * SERIES_BYTES,
      countsStride: stride,
      exemplars: sections.counts + 8 * stride,
      exemplarsStride,
      totalBytes: sections.exemplars + 8 * exemplarsStride,
    });
    for (const start of Object.values(sections)) expect(start % CACHE_LINE).toBe(0);
  });

  it('have a ring that no number of connections fills', () => {
    for (const connectionSlots of [1, 512, 513, 20_000, 65_536]) {
      const { ringCapacity } = sectionsFor({ connectionSlots, childSlots: 4, bufferBytes: 1024 });
      expect(ringCapacity).toBeGreaterThanOrEqual(connectionSlots * 2);
      expect(Math.log2(ringCapacity) % 1).toBe(0);
    }
  });

  it('have a buffer for each connection and for what workers keep at hand', () => {
    const sections = sectionsFor({ connectionSlots: 100, childSlots: 7, bufferBytes: 1024 });
    expect(sections.bufferCount).toBe(100 + 7 * SPARE_BUFFERS);
  });
});
