/**
 * One connection in full: all that its row shows, and its trail.
 *
 * Thread: any; pure functions.
 */
import { type Html, html } from './html.ts';
import { linkTo, type StatusQuery } from './query.ts';
import type { StatusDocument } from './schema.ts';
import { ageText, bytesText, countText, durationText } from './units.ts';

/** Null where no connection was asked for. */
export function connectionDetail(
  { connection: row }: StatusDocument,
  query: StatusQuery,
): Html | null {
  if (query.connection === null) return null;
  const back = html`<p><a href="${linkTo(query, { connection: null })}">All connections</a></p>`;
  if (row === null) return html`<p>No connection is open in slot ${query.connection}.</p>${back}`;
  const { request } = row;
  const owner =
    row.worker === null ? 'none yet' : `worker ${row.worker}${row.owned ? '' : ' served it last'}`;
  const facts: readonly (readonly [string, string])[] = [
    ['Client', row.client],
    ['State', `${row.state} (${row.letter}) for ${ageText(row.ageMs)}`],
    ...(row.session === null
      ? []
      : ([['Protocol', `${row.session.protocol} ${row.session.state}`]] as const)),
    ['Worker', owner],
    ['Open', ageText(row.openMs)],
    ['Requests', countText(row.requests)],
    ['Received', bytesText(row.receivedBytes)],
    ['Sent', bytesText(row.sentBytes)],
    ['Incarnation', String(row.incarnation)],
    ...(request === null
      ? []
      : ([
          [
            'Request',
            `${request.method} ${request.target}${request.targetCut ? '...' : ''} ${request.protocol}`,
          ],
          ['Host', request.host === '' ? '-' : request.host],
          [
            'Response',
            request.active
              ? `under way for ${ageText(request.ageMs)}`
              : `${request.status} in ${durationText(request.durationMs)}, ${ageText(request.ageMs)} ago`,
          ],
        ] as const)),
  ];
  const trail =
    row.trail.length === 0
      ? html`<p class="dim">No trail is kept for it.</p>`
      : html`<div class="scroll" tabindex="0" role="region" aria-label="Trail of connection ${row.slot}"><table id="trail">
<caption>Its last transitions, the latest first</caption>
<thead><tr><th scope="col">Ago</th><th scope="col">State that was reached</th><th scope="col">Worker</th></tr></thead>
<tbody>${[...row.trail]
          .reverse()
          .map(
            ({ state, worker, agoMs }) =>
              html`<tr><th scope="row">${ageText(agoMs)}</th><td>${state}</td><td>${worker ?? '-'}</td></tr>`,
          )}</tbody></table></div>`;
  return html`<dl>${facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>${trail}${back}`;
}
