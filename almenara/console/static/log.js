// The view Log: messages, newest first, live; one opens beside them.

import { call, query, sentence } from './api.js';
import { h, put } from './dom.js';
import { FILTERS, filters } from './filters.js';
import { follow } from './live.js';
import { message } from './message.js';
import { go, link, where } from './place.js';
import { badge } from './states.js';
import { count, exactly, moment, t } from './words.js';

const PAGE = 50;
const MOVING = ['queued', 'scheduled', 'sending', 'held', 'partial'];
/** So many rows are in the page at the most, however long the log is. */
const MOST_ROWS = 200;

const only = (values) => Object.fromEntries(FILTERS.map((one) => [one, values[one] || '']));

/** Show it. */
export function log(main, first) {
  let values = first;
  let rows = new Map();
  let cursor = null;
  let atTop = true;
  let live = values.live !== 'off';
  let ended = () => {};
  let reading = new AbortController();
  let open = null;
  const fresh = new Map();

  const controls = filters(values);
  const said = h('div', { role: 'alert' });
  const dot = h('span', { class: 'dot', 'aria-hidden': 'true' });
  const liveSaid = h('span', {}, t('log.live'));
  const liveButton = h('button', { 'aria-pressed': 'false', onclick: toggle }, dot, liveSaid);
  const body = h('tbody', { onclick: chosen });
  const newer = h('button', { onclick: load, hidden: true }, t('log.newest'));
  const older = h('button', { onclick: more, hidden: true }, t('log.older'));
  const howMany = h('span', { class: 'soft small', role: 'status' });
  const table = h('div', { class: 'card log' },
    h('table', {},
      h('caption', { class: 'sr' }, t('nav.log')),
      h('thead', {}, h('tr', {}, ['when', 'status', 'text', 'topic'].map((name) => h('th', {
        class: name, scope: 'col',
      }, t(`log.${name}`))))),
      body),
    h('div', { class: 'foot' }, newer, older, howMany));
  const side = h('aside', { class: 'card side', 'aria-label': t('message.title'), hidden: true });
  const list = h('div', {}, controls.form, said, table);
  const split = h('div', { class: 'split' }, list, side);
  put(main, h('div', { class: 'head' }, h('h1', {}, t('nav.log')), liveButton), split);

  /** Read the newest that fit the filters. */
  async function load() {
    reading.abort();
    reading = new AbortController();
    ended();
    const mine = reading.signal;
    atTop = true;
    const page = await read({}, mine);
    if (mine.aborted || !page) return;
    rows = new Map();
    body.replaceChildren();
    page.data.forEach((one) => place(one));
    cursor = page.next_cursor;
    after();
    listen();
  }

  async function read(extra, signal) {
    put(said);
    try {
      return await call('GET', query('v1/messages', { ...only(values), limit: PAGE, ...extra }),
        null, { signal });
    } catch (error) {
      if (error.name !== 'AbortError') put(said, h('p', { class: 'note bad' }, sentence(error)));
      return null;
    }
  }

  /** Read older ones, and let go of the newest where there would be too many. */
  async function more() {
    older.disabled = true;
    const last = [...rows.values()].at(-1)?.data;
    const page = await read(cursor ? { cursor } : { until: justAfter(last) }, reading.signal);
    older.disabled = false;
    if (!page) return;
    const focus = page.data.find((one) => !rows.has(one.id));
    page.data.forEach((one) => place(one));
    cursor = page.next_cursor;
    if (rows.size > MOST_ROWS) {
      atTop = false;
      ended();
      for (const id of [...rows.keys()].slice(0, rows.size - MOST_ROWS)) drop(id);
    }
    after();
    if (focus) rows.get(focus.id)?.element.querySelector('a').focus({ preventScroll: true });
  }

  const justAfter = (one) => one && new Date(Date.parse(one.created_at) + 1).toISOString();

  function place(data, { first: top = false, arrived = false } = {}) {
    const known = rows.get(data.id);
    const element = row(data, arrived);
    if (known) {
      known.element.replaceWith(element);
      known.data = data;
      known.element = element;
      return;
    }
    if (top) {
      rows = new Map([[data.id, { data, element }], ...rows]);
      body.prepend(element);
    } else {
      rows.set(data.id, { data, element });
      body.append(element);
    }
  }

  function drop(id) {
    rows.get(id).element.remove();
    rows.delete(id);
  }

  function row(data, arrived) {
    const chosenNow = data.id === values.message;
    const text = data.title || data.description || t(data.redacted_at ? 'log.redacted' : 'log.empty');
    const rest = data.title && data.description ? ` ${data.description.slice(0, 200)}` : '';
    return h('tr', { class: [chosenNow && 'chosen', arrived && 'arrived'].filter(Boolean).join(' '),
      'data-id': data.id },
    h('td', { class: 'when', title: exactly(data.created_at) }, moment(data.created_at)),
    h('td', { class: 'status' }, badge('message', data.status)),
    h('td', { class: 'text' },
      h('a', { href: link('log', { ...values, message: data.id }),
        'aria-current': chosenNow ? 'true' : null }, text.slice(0, 200)),
      rest && h('span', { class: 'soft' }, rest)),
    h('td', { class: 'topic' }, data.topic || h('span', { class: 'soft' }, t('log.direct'))));
  }

  function after() {
    newer.hidden = atTop;
    older.hidden = !(cursor || !atTop || rows.size >= MOST_ROWS) || rows.size === 0;
    if (!cursor && rows.size < MOST_ROWS) older.hidden = true;
    howMany.textContent = rows.size ? t('log.shown', { n: count(rows.size) })
      : t(FILTERS.some((one) => values[one]) ? 'log.nothing' : 'log.nothing.yet');
  }

  function chosen(event) {
    const id = event.target.closest('tr')?.dataset.id;
    if (!id || event.target.closest('a') || String(getSelection())) return;
    go('log', { ...values, message: id });
  }

  function toggle() {
    go('log', { ...where().values, live: live ? 'off' : '' }, { replace: true });
  }

  /** Follow the log while the newest are shown. */
  function listen() {
    ended();
    const can = live && atTop && !values.until;
    tell(can ? 'waiting' : 'off');
    if (!can) return;
    ended = follow({ topic: values.topic, channel: values.channel }, {
      each: arrived, say: tell, oldest: () => [...rows.values()].findLast(
        ({ data }) => MOVING.includes(data.status))?.data.created_at });
  }

  function tell(state, error) {
    liveButton.setAttribute('aria-pressed', String(state === 'on'));
    liveSaid.textContent = t({ on: 'log.live', waiting: 'log.connecting', off: 'log.paused',
      none: 'log.nostream' }[state]);
    if (error && error.status !== 404) liveButton.title = sentence(error);
  }

  function arrived(data) {
    if (!fresh.size) requestAnimationFrame(flush);
    fresh.set(data.id, data);
  }

  /** Show all that came since the last picture at once. */
  function flush() {
    const came = [...fresh.values()];
    fresh.clear();
    for (const data of came) {
      if (data.id === open?.id) open.changed();
      const known = rows.has(data.id);
      if (fits(data)) {
        const newest = rows.values().next().value?.data.id;
        if (known) place(data);
        else if (atTop && (!newest || data.id > newest)) place(data, { first: true, arrived: true });
        else if (atTop && came.length) inOrder(data);
      } else if (known) drop(data.id);
    }
    if (rows.size > MOST_ROWS) {
      cursor = null;
      for (const id of [...rows.keys()].slice(MOST_ROWS)) drop(id);
    }
    after();
  }

  /** Ids grow with time: put a row that came late where it belongs, unless it is on a later page. */
  function inOrder(data) {
    const all = [...rows.entries()];
    const at = all.findIndex(([id]) => id < data.id);
    if (at === -1) return;
    const element = row(data, true);
    all[at][1].element.before(element);
    all.splice(at, 0, [data.id, { data, element }]);
    rows = new Map(all);
  }

  function fits(data) {
    if (values.status && data.status !== values.status) return false;
    if (values.since && data.created_at < new Date(values.since).toISOString()) return false;
    const wanted = (values.q || '').toLowerCase();
    return !wanted || [data.title, data.description].some((one) => one?.toLowerCase().includes(wanted));
  }

  function panel() {
    const id = values.message;
    for (const { element, data } of rows.values()) element.classList.toggle('chosen', data.id === id);
    split.classList.toggle('open', Boolean(id));
    side.hidden = !id;
    if (open?.id === id) return;
    open?.leave();
    open = id ? message(side, id, close) : null;
  }

  function close() {
    const id = values.message;
    go('log', { ...values, message: '' });
    requestAnimationFrame(() => rows.get(id)?.element.querySelector('a').focus());
  }

  load();
  panel();
  return {
    follow(next) {
      const before = JSON.stringify(only(values));
      const wasLive = live;
      values = next;
      live = values.live !== 'off';
      for (const { element, data } of rows.values()) {
        element.querySelector('a').href = link('log', { ...values, message: data.id });
      }
      if (JSON.stringify(only(values)) !== before) {
        controls.follow(values);
        load();
      } else if (live !== wasLive) {
        if (live) load(); else listen();
      }
      panel();
    },
    leave() { reading.abort(); ended(); open?.leave(); },
  };
}
