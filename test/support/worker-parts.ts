/**
 * Parts of a worker, as production has them, for the drivers of models.
 *
 * Role: makes `Leading` and `Ownership` over a model's board and poll set.
 * Thread: tests only.
 */
import type { Native, Region } from '../../src/listener/native.ts';
import type { WorkerContext } from '../../src/workers/context.ts';
import type { Leading } from '../../src/workers/leading.ts';
import type { Ownership } from '../../src/workers/ownership.ts';
import { BITS, type ModelBoard } from './model-board.ts';

/** Production `Leading` over a model's poll set. */
export function leadingOf(model: ModelBoard, child: number): Leading {
  const { board } = model;
  let batch: Int32Array = new Int32Array(0);
  const native = {
    epollIn: BITS.readable,
    epollOut: BITS.writable,
    epollHup: BITS.hangup,
    epollErr: BITS.hangup,
    epollRdHup: BITS.endOfStream,
    eventfdSignal: (fd: number) => model.signal(fd),
    attach: (_: Region, bytes: Uint8Array) => {
      batch = new Int32Array(bytes.buffer);
    },
    watch: () => 0,
    pause: () => 0,
    resume: () => 0,
    setSlice: () => 0,
    nice: () => 20,
    epollWait: () => {
      const tickets = model.poll();
      batch.set(tickets.flat());
      return tickets.length;
    },
  } as unknown as Native;
  const options = { looksBeforeSleep: 0, longHandlerNice: 0 };
  const parts = { board, native, child, options, now: 0, add: () => {} };
  const context = parts as unknown as WorkerContext;
  return new model.code.leading.Leading(context, () => 0);
}

/** Production `Ownership` of a connection that is owned already. */
export function holdOf(model: ModelBoard, child: number, slot: number, word: number): Ownership {
  const native = { epollDelete: () => 0 } as unknown as Native;
  const hold = new model.code.ownership.Ownership(model.board, native, child);
  hold.slot = slot;
  hold.index = model.board.slotIndex(slot);
  hold.resumed(word);
  return hold;
}
