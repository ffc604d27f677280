// The filters of the log: they stand in the address, so that a view can be handed on.

import { call } from './api.js';
import { add, field, h, later, newId, select } from './dom.js';
import { go, where } from './place.js';
import { t, word } from './words.js';

const STATUSES = ['queued', 'scheduled', 'sending', 'sent', 'partial', 'failed', 'held',
  'cancelled', 'no_route'];
const TIMES = ['since', 'until'];
export const FILTERS = ['q', 'status', 'topic', 'channel', ...TIMES];

const utc = (local) => (local ? new Date(local).toISOString() : '');

function local(text) {
  const at = new Date(text);
  if (!text || Number.isNaN(at.getTime())) return '';
  return new Date(at - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

const shown = (values, name) => (TIMES.includes(name) ? local(values[name]) : values[name] || '');

/** Make the form; it writes what is chosen into the address. */
export function filters(first) {
  const names = { topic: newId('topics'), channel: newId('channels') };
  const text = (name, attributes) => h('input', { name, value: shown(first, name), ...attributes });
  const inputs = {
    q: text('q', { type: 'search', maxlength: 255 }),
    status: select('status', [['', t('log.any')], ...STATUSES.map((one) => [one,
      word('message.status', one)])], first.status),
    topic: text('topic', { list: names.topic, maxlength: 64, autocapitalize: 'none' }),
    channel: text('channel', { list: names.channel, maxlength: 64, autocapitalize: 'none' }),
    since: text('since', { type: 'datetime-local' }),
    until: text('until', { type: 'datetime-local' }),
  };

  function apply() {
    const now = where().values;
    const chosen = FILTERS.map((name) => {
      const value = inputs[name].value.trim();
      if (!TIMES.includes(name)) return [name, value];
      // The address may be more exact than the control can show.
      return [name, value === shown(now, name) ? now[name] : utc(value)];
    });
    go('log', { ...now, ...Object.fromEntries(chosen) }, { replace: true });
  }

  const soon = later(300, apply);
  // On a phone the rarer ones are folded away, unless they are used.
  const rare = ['topic', 'channel', ...TIMES];
  const used = rare.some((name) => first[name]);
  const unfold = h('button', { type: 'button', class: 'unfold', 'aria-expanded': String(used),
    onclick: () => {
      const short = form.classList.toggle('short');
      unfold.setAttribute('aria-expanded', String(!short));
    } }, t('log.filters'));
  const form = h('form', { class: used ? 'filters' : 'filters short', role: 'search', 'aria-label': t('log.filters'),
    onsubmit: (event) => { event.preventDefault(); soon.stop(); apply(); }, oninput: soon },
  field(t('log.q'), inputs.q, { wide: true }),
  field(t('log.status'), inputs.status), unfold,
  rare.map((one) => field(t(`log.${one}`), inputs[one], { look: 'rare' })),
  h('button', { type: 'button', class: 'rare', onclick: () => {
    soon.stop();
    Object.values(inputs).forEach((one) => { one.value = ''; });
    apply();
  } }, t('log.reset')));
  for (const [name, path] of [['topic', 'v1/topics'], ['channel', 'v1/channels']]) {
    const known = h('datalist', { id: names[name] });
    form.append(known);
    call('GET', path).then((found) => add(known, found.data.map((one) => h('option', {
      value: one.name })))).catch(() => {});
  }
  return {
    form,
    /** Show what the address says now, but in what is being typed. */
    follow(values) {
      for (const [name, input] of Object.entries(inputs)) {
        const wanted = shown(values, name);
        if (input !== document.activeElement && input.value !== wanted) input.value = wanted;
      }
    },
  };
}
