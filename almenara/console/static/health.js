// The view Health: what comes in and goes out, what waits, what fails, who works.

import { call, sentence, several } from './api.js';
import { bars, legend } from './charts.js';
import { h, put } from './dom.js';
import { steps, sum, together, wasNot, wasSent } from './figures.js';
import { go, link } from './place.js';
import { badge } from './states.js';
import { count, duration, exactly, moment, t, word } from './words.js';

const EVERY = 10_000;

/** Show it. */
export function health(main, first) {
  let values = first;
  let gone = false;
  const period = () => (values.period === 'day' ? 'day' : 'hour');
  const choose = h('div', { class: 'buttons', role: 'group', 'aria-label': t('health.period') });
  const said = h('div', { role: 'alert' });
  const place = h('div', { class: 'stack' });
  put(main, h('div', { class: 'stack' },
    h('div', { class: 'head' }, h('h1', {}, t('nav.health')), choose), said, place));
  const timer = setInterval(() => { if (!document.hidden) load(); }, EVERY);
  load();

  async function load() {
    const wanted = period();
    put(choose, ['hour', 'day'].map((one) => h('button', {
      'aria-pressed': String(one === wanted), onclick: () => go('health', { period: one },
        { replace: true }) }, t(`health.${one}`))));
    const read = await several({
      stats: call('GET', `v1/stats?period=${wanted}`),
      workers: call('GET', 'v1/workers'),
      plugins: call('GET', 'v1/plugins'),
      channels: call('GET', 'v1/channels'),
    });
    if (gone || wanted !== period()) return;
    const wrong = Object.values(read).map((one) => one.error)
      .find((one) => one && ![403, 404].includes(one.status));
    put(said, wrong && h('p', { class: 'note bad' }, sentence(wrong)));
    const inside = place.contains(document.activeElement) ? document.activeElement.id : '';
    put(place,
      read.stats.error ? absent(read.stats.error, 'health.nofigures') : figures(read.stats),
      h('div', { class: 'columns' },
        h('section', { class: 'card' }, h('div', { class: 'head' }, h('h2', {}, t('health.workers'))),
          read.workers.error ? absent(read.workers.error, 'health.noworkers')
            : workers(read.workers.data)),
        h('section', { class: 'card' }, h('div', { class: 'head' }, h('h2', {}, t('health.plugins'))),
          read.plugins.error ? absent(read.plugins.error, 'error.forbidden') : plugins(read.plugins)),
        !read.channels.error && paused(read.channels.data)));
    if (inside) document.getElementById(inside)?.focus();
  }

  return {
    follow(next) { values = next; load(); },
    leave() { gone = true; clearInterval(timer); },
  };
}

const absent = (error, key) => h('p', { class: 'note' }, error.status === 404 ? t(key) : sentence(error));

function figures(stats) {
  const length = steps(stats);
  const accepted = together(stats.accepted, length);
  const sent = together(stats.attempts, length, wasSent);
  const failed = together(stats.attempts, length, wasNot);
  const oldest = Math.max(0, ...stats.pending.map((one) => one.oldest_due_seconds));
  const waiting = stats.pending.reduce((all, one) => all + one.count, 0);
  const tile = (key, value) => h('div', { class: 'card tile' }, h('b', {}, value),
    h('span', { class: 'soft' }, t(key)));
  const chart = (key, given) => h('section', { class: 'card' },
    h('div', { class: 'head' }, h('h2', {}, t(key)), given.failed && legend()),
    bars({ title: t(key), start: stats.start, step: stats.step_seconds, ...given }));
  return [
    h('div', { class: 'tiles' },
      tile('health.accepted', count(sum(accepted))), tile('health.sent', count(sum(sent))),
      tile('health.failed', count(sum(failed))), tile('health.pending', count(waiting)),
      tile('health.oldest', oldest ? duration(oldest) : '–')),
    h('div', { class: 'columns' },
      chart('health.in', { good: accepted }), chart('health.out', { good: sent, failed })),
    h('div', { class: 'columns' },
      h('section', { class: 'card' }, h('div', { class: 'head' }, h('h2', {}, t('health.failures'))),
        failures(stats)),
      h('section', { class: 'card' }, h('div', { class: 'head' }, h('h2', {}, t('health.waiting'))),
        pending(stats.pending))),
  ];
}

function rows(title, heads, lines, empty) {
  if (!lines.length) return h('p', { class: 'soft' }, empty);
  const look = (index) => (heads[index].startsWith('#') ? 'number' : 'wrap');
  return h('div', { class: 'scroll', tabindex: '0', role: 'group', 'aria-label': title }, h('table', {},
    h('thead', {}, h('tr', {}, heads.map((one, index) => h('th', { scope: 'col', class: look(index) },
      one.replace(/^#/, ''))))),
    h('tbody', {}, lines.map((line) => h('tr', {}, line.map((one, index) => h('td', {
      class: look(index) }, one)))))));
}

function failures(stats) {
  const found = new Map();
  for (const one of stats.attempts.filter(wasNot)) {
    const key = JSON.stringify([one.channel, one.outcome, one.reason]);
    found.set(key, (found.get(key) || 0) + sum(one.counts));
  }
  const lines = [...found].filter(([, n]) => n).sort(([, a], [, b]) => b - a).map(([key, n]) => {
    const [channel, outcome, reason] = JSON.parse(key);
    return [h('a', { href: link('log', { channel, status: 'failed' }) }, channel || '–'),
      word('attempt.status', outcome), reason ? word('reason', reason) : '–', count(n)];
  });
  return rows(t('health.failures'), [t('log.channel'), t('health.outcome'), t('health.reason'), `#${t('health.count')}`],
    lines, t('health.nofailures'));
}

function pending(all) {
  return rows(t('health.waiting'), [t('log.channel'), `#${t('health.count')}`, `#${t('health.oldest')}`],
    all.filter((one) => one.count).map((one) => [one.channel, count(one.count),
      one.oldest_due_seconds ? duration(one.oldest_due_seconds) : '–']),
    t('health.nothing'));
}

function workers(items) {
  return rows(t('health.workers'), [t('health.worker'), t('health.state'), t('health.version'), t('health.heartbeat')],
    items.map((one) => [
      [word('worker', one.kind), h('div', { class: 'small soft' }, `${one.pid}@${one.host}`)],
      badge('worker', one.alive ? 'alive' : 'gone'), one.version || '–',
      h('time', { datetime: one.heartbeat_at, title: exactly(one.heartbeat_at) },
        moment(one.heartbeat_at)),
    ]), t('health.noworkers'));
}

function plugins({ data, broken, elsewhere }) {
  return h('div', { class: 'form' },
    broken.map((one) => h('div', { class: 'note bad wrap' },
      h('b', {}, one.name || one.directory), h('p', {}, one.reason),
      h('p', { class: 'small' }, h('code', {}, one.file)),
      one.runs_on && h('p', { class: 'small' }, t('health.runson', { revision: one.runs_on })),
      one.traceback && h('details', {}, h('summary', {}, t('health.traceback')),
        h('pre', { class: 'small' }, one.traceback)))),
    data.filter((one) => one.differing.length).map((one) => h('p', { class: 'note warn wrap' },
      h('b', {}, one.name), ' ', t('health.differs', {
        where: one.differing.map((each) => each.process).join(', ') }))),
    elsewhere.length > 0 && h('p', { class: 'note warn wrap' }, t('health.elsewhere', {
      names: elsewhere.map((one) => `${one.qualified_name} (${one.process})`).join(', ') })),
    !broken.length && h('p', {}, t('health.allgood', { n: data.length })),
    h('details', {}, h('summary', {}, t('health.all', { n: data.length })),
      rows(t('health.plugins'), [t('channel.plugin'), t('health.source'), t('health.revision')], data.map((one) => [
        one.name, one.source, h('code', {}, one.revision)]), '')));
}

function paused(channels) {
  const found = channels.filter((one) => one.state === 'paused');
  return found.length > 0 && h('section', { class: 'card' },
    h('div', { class: 'head' }, h('h2', {}, t('health.paused'))),
    h('ul', { class: 'items' }, found.map((one) => h('li', {},
      h('div', { class: 'row' }, h('a', { href: link('routes', { channel: one.name }) }, one.name),
        badge('channel', 'paused')),
      h('p', { class: 'small' }, word('paused', one.state_reason)),
      one.state_detail && h('p', { class: 'small soft wrap' }, one.state_detail)))));
}
