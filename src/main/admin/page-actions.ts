/**
 * Forms for the actions, where there are any. The token is typed by whoever has it and kept nowhere.
 *
 * Thread: any; pure functions.
 */
import { LIVE_DIRECTIVES, type LiveDirective } from './action.ts';
import { type Html, html } from './html.ts';
import type { StatusDocument } from './schema.ts';

const token = html`<label>Token <input type="password" name="token" required autocomplete="off"></label>`;

function form(path: string, label: string, action: string, fields: Html, button: string): Html {
  return html`<form method="post" action="${path}" aria-label="${label}"><input type="hidden" name="action" value="${action}">${fields}${token}<button>${button}</button></form>`;
}

export function actionForms(path: string, document: StatusDocument): Html {
  const { limits, workers, workerList, connection } = document;
  const values: Readonly<Record<LiveDirective, string>> = {
    maxConnectionsPerChild: String(limits.maxConnectionsPerChild),
    minSpareThreads: String(workers.minSpareThreads),
    maxSpareThreads: String(workers.maxSpareThreads),
    keepAliveTimeout: `${limits.keepAliveTimeoutMs}ms`,
  };
  const slots = html`<label>Worker <select name="worker">${workerList.map(
    ({ slot, state }) => html`<option value="${slot}">${slot} (${state})</option>`,
  )}</select></label>`;
  const directives = html`<label>Directive <select name="directive">${LIVE_DIRECTIVES.map(
    (name) => html`<option value="${name}">${name} (${values[name]})</option>`,
  )}</select></label><label>Value <input name="value" required size="10"></label>`;
  const close =
    connection === null
      ? html`<p class="dim">To close a connection, choose it in the table.</p>`
      : form(
          path,
          'Close the connection',
          'close',
          html`<input type="hidden" name="connection" value="${connection.slot}"><input type="hidden" name="incarnation" value="${connection.incarnation}">`,
          `Close connection ${connection.slot}`,
        );
  return html`<section aria-labelledby="h-actions"><h2 id="h-actions">Actions</h2>
${form(path, 'Replace a worker', 'recycle', slots, 'Replace the worker')}
${form(path, 'Set a directive', 'set', directives, 'Set until the next start')}
${close}</section>`;
}
