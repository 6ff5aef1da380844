/**
 * The script of the status page: takes changes from the event stream and puts them in place.
 *
 * Role: a constant, sent within the page; its hash stands in the content security policy.
 * Thread: the reader's browser. What it inserts was escaped by the server, and under the policy of the
 * page no script within it would run.
 */
export const SCRIPT = `(() => {
const $ = (id) => document.getElementById(id);
const state = $('live'), button = $('pause');
let source = null;
const put = (element, html) => { if (element.innerHTML !== html) element.innerHTML = html; };
function table(body, { order, cells = {} }) {
  const rows = new Map([...body.rows].map((row) => [row.dataset.k, row]));
  for (const [key, changed] of Object.entries(cells)) {
    let row = rows.get(key);
    if (!row) {
      row = document.createElement('tr');
      row.dataset.k = key;
      rows.set(key, row);
      for (const column of Object.keys(changed)) {
        const cell = document.createElement(column === '0' ? 'th' : 'td');
        if (column === '0') cell.scope = 'row';
        row.append(cell);
      }
    }
    for (const [column, html] of Object.entries(changed)) {
      if (row.cells[column]) put(row.cells[column], html);
    }
  }
  if (!order) return;
  const kept = new Set(order);
  for (const [key, row] of rows) if (!kept.has(key)) row.remove();
  order.forEach((key, index) => {
    const row = rows.get(key);
    if (row && body.rows[index] !== row) body.insertBefore(row, body.rows[index] || null);
  });
}
function apply({ parts = {}, tables = {} }) {
  for (const [name, html] of Object.entries(parts)) {
    const element = document.querySelector('[data-part="' + name + '"]');
    if (element) put(element, html);
  }
  for (const [name, change] of Object.entries(tables)) {
    const body = document.querySelector('[data-table="' + name + '"]');
    if (body) table(body, change);
  }
}
function start() {
  source = new EventSource(document.body.dataset.events);
  source.onopen = () => { state.textContent = 'live'; };
  source.onmessage = ({ data }) => apply(JSON.parse(data));
  source.onerror = () => {
    state.textContent = source.readyState === 2 ? 'not live: reload the page' : 'connection lost, trying again';
  };
}
function stop() { source.close(); source = null; state.textContent = 'paused'; }
button.hidden = false;
button.onclick = () => {
  if (source) stop(); else start();
  button.textContent = source ? 'Pause' : 'Go on';
};
start();
})();`;
