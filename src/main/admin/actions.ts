/**
 * Main's side of the actions: does what an operator asked for.
 *
 * Role: judges the value of a directive as at the start, and passes the rest to whoever owns it.
 * Thread: main.
 */
import type { Directives } from '../config/directives.ts';
import { thisMachine } from '../config/machine.ts';
import { RULES } from '../config/rules.ts';
import { DIRECTIVES } from '../config/table.ts';
import type { Action, ActionResult, LiveDirective } from './action.ts';

/** What actions act upon. */
export interface ActionTargets {
  readonly directives: () => Directives;
  /** Takes over directives of which only some that can change while the server runs differ. */
  readonly apply: (directives: Directives) => Promise<unknown>;
  /** False: no worker serves in that slot, or it is being replaced already. */
  readonly recycle: (slot: number) => boolean;
  /** Whether a child holds that slot. */
  readonly hasWorker: (slot: number) => boolean;
  readonly close: (slot: number, incarnation: number) => 'closed' | 'ending' | 'gone';
}

const result = (status: ActionResult['status'], message: string): ActionResult => ({
  status,
  message,
});

export async function perform(action: Action, targets: ActionTargets): Promise<ActionResult> {
  switch (action.kind) {
    case 'recycle': {
      const { worker } = action;
      if (!targets.hasWorker(worker)) return result(404, `there is no worker in slot ${worker}`);
      return targets.recycle(worker)
        ? result(202, `worker ${worker} retires as soon as another has taken its place`)
        : result(409, `worker ${worker} does not serve, or is being replaced already`);
    }
    case 'close':
      return closeConnection(action.connection, action.incarnation, targets);
    case 'set':
      return set(action.directive, action.value, targets);
  }
}

function closeConnection(
  slot: number,
  incarnation: number,
  { close }: ActionTargets,
): ActionResult {
  switch (close(slot, incarnation)) {
    case 'closed':
      return result(200, `connection ${slot} was closed`);
    case 'ending':
      return result(202, `connection ${slot} takes no more of its response; its worker closes it`);
    case 'gone':
      return result(404, `connection ${slot} is gone, or is another one by now`);
  }
}

async function set(
  name: LiveDirective,
  value: string,
  targets: ActionTargets,
): Promise<ActionResult> {
  const { key, kind } = DIRECTIVES[name];
  const parsed = kind.schema.safeParse(value);
  if (!parsed.success) return result(400, `${name} ${kind.form}, not "${value.slice(0, 40)}"`);
  const before = targets.directives();
  const after: Directives = { ...before, [key]: parsed.data };
  for (const { subject, others, broken } of RULES) {
    if (subject !== name && !others.includes(name)) continue;
    const why = broken(after, thisMachine());
    if (why !== null) return result(409, why);
  }
  await targets.apply(after);
  const text = (directives: Directives) => kind.format(directives[key]);
  return result(200, `${name} is ${text(after)}, was ${text(before)}`);
}
