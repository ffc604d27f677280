// The view Write: a message, where it would go and how it would look there, and sending it.

import { Problem, call, sentence } from './api.js';
import { add, field, h, later, newId, put, select, toast } from './dom.js';
import { go, link, where } from './place.js';
import { exactly, moment, t } from './words.js';

/** Show it. */
export function write(main, first) {
  const start = first;
  const inputs = {};
  let asking = new AbortController();
  let known = new Map();
  const lists = { topic: newId('topics'), channel: newId('channels') };
  const said = h('div', { role: 'alert' });
  const seen = h('section', { class: 'card' });
  const told = h('p', { class: 'sr', role: 'log' });
  const fields = h('div', { class: 'form' });
  const soon = later(450, preview);
  const form = h('form', { class: 'card form', novalidate: true, onsubmit: send, oninput: changed,
    onchange: changed },
  said, fields, h('div', { class: 'buttons' },
    h('button', { class: 'main', type: 'submit' }, t('write.send')),
    h('button', { type: 'button', onclick: preview }, t('write.preview'))));
  put(main, h('div', { class: 'stack' }, h('h1', {}, t('nav.write')), told,
    h('div', { class: 'columns' }, form, seen)));
  make();
  draw(new Map());
  offer();
  if (start.topic || start.channel) preview(); else blank();

  function make() {
    const text = (name, attributes = {}) => {
      inputs[name] = h('input', { name, autocomplete: 'off', ...attributes });
    };
    inputs.address = select('address', [['topic', t('write.topic')], ['channel', t('write.channel')]],
      start.channel && !start.topic ? 'channel' : 'topic');
    text('topic', { list: lists.topic, maxlength: 64, value: start.topic || '', autocapitalize: 'none' });
    text('channel', { list: lists.channel, maxlength: 64, value: start.channel || '',
      autocapitalize: 'none' });
    text('title', { maxlength: 255 });
    inputs.description = h('textarea', { name: 'description', rows: 6, required: true });
    inputs.format = select('format', ['text', 'markdown', 'html'].map((one) => [one, one]), 'text');
    inputs.priority = select('priority', ['1', '2', '3', '4', '5'].map((one) => [one,
      t(`priority.${one}`)]), '3');
    text('tags');
    text('to');
    text('reference', { maxlength: 255 });
    text('send_at', { type: 'datetime-local' });
    inputs.data = h('textarea', { name: 'data', class: 'code', rows: 4, placeholder: '{"order": 4711}' });
  }

  function draw(errors) {
    const focus = document.activeElement;
    for (const one of Object.values(inputs)) one.removeAttribute('aria-invalid');
    const error = (name) => [...errors].filter(([key]) => key === name || key.startsWith(`${name}.`))
      .map(([, words]) => words)[0];
    const one = (name, more = {}) => field(t(`write.${name}`), inputs[name], {
      error: error(name), ...more });
    const address = inputs.address.value;
    const rare = ['tags', 'to', 'reference', 'send_at', 'data'];
    put(fields,
      h('div', { class: 'pair' }, field(t('write.address'), inputs.address),
        one(address, { hint: address === 'topic' ? t('write.topic.hint') : null })),
      one('title'), one('description'),
      h('div', { class: 'pair' }, one('format'), one('priority')),
      h('details', { open: rare.some((name) => inputs[name].value || error(name)) },
        h('summary', {}, t('write.more')),
        h('div', { class: 'form' },
          one('tags', { hint: t('write.commas') }), one('to', { hint: t('write.commas') }),
          one('reference'), one('send_at'), one('data', { hint: 'JSON' }))));
    if (fields.contains(focus)) focus.focus({ preventScroll: true });
  }

  async function offer() {
    for (const name of ['topic', 'channel']) {
      const list = h('datalist', { id: lists[name] });
      form.append(list);
      call('GET', `v1/${name}s`).then((found) => add(list, found.data.map((one) => h('option', {
        value: one.name })))).catch(() => {});
    }
  }

  function changed(event) {
    if (event.target === inputs.address) {
      if (event.type === 'change') draw(new Map());
      inputs[inputs.address.value].focus();
    }
    const address = inputs.address.value;
    go('write', { ...where().values, topic: '', channel: '', [address]: inputs[address].value.trim() },
      { replace: true });
    soon();
  }

  /** Return the message, without what was left empty. */
  function body() {
    const list = (name) => inputs[name].value.split(',').map((one) => one.trim()).filter(Boolean);
    const address = inputs.address.value;
    const given = {
      [address]: inputs[address].value.trim(), title: inputs.title.value.trim(),
      description: inputs.description.value, reference: inputs.reference.value.trim(),
      send_at: inputs.send_at.value && new Date(inputs.send_at.value).toISOString(),
    };
    const full = Object.fromEntries(Object.entries(given).filter(([, value]) => value));
    if (inputs.format.value !== 'text') full.format = inputs.format.value;
    if (inputs.priority.value !== '3') full.priority = Number(inputs.priority.value);
    if (list('tags').length) full.tags = list('tags');
    if (list('to').length) full.to = list('to');
    if (inputs.data.value.trim()) {
      try { full.data = JSON.parse(inputs.data.value); } catch {
        throw new Problem(422, { detail: t('form.nojson'),
          errors: [{ field: 'data', message: t('form.nojson') }] });
      }
    }
    return full;
  }

  function blank() {
    put(seen, h('h2', {}, t('write.seen')), h('p', { class: 'empty' }, t('write.blank')));
  }

  async function preview() {
    soon.stop();
    asking.abort();
    asking = new AbortController();
    const mine = asking.signal;
    if (!inputs[inputs.address.value].value.trim() || !inputs.description.value.trim()) {
      blank();
      return;
    }
    try {
      const explained = await call('POST', 'v1/messages/explain', body(), { signal: mine });
      if (mine.aborted) return;
      show(explained);
      if (known.size) { known = new Map(); draw(known); put(said); }
    } catch (error) {
      if (error.name !== 'AbortError') {
        put(seen, h('h2', {}, t('write.seen')), h('p', { class: 'note bad wrap' }, sentence(error)));
      }
    }
  }

  function show(explained) {
    const going = explained.channels.filter((one) => one.would_send).length;
    told.textContent = going ? t('write.going', { n: going }) : t('write.nowhere');
    put(seen,
      h('div', { class: 'head' }, h('h2', {}, t('write.seen'))),
      h('div', { class: 'form' },
        h('p', {}, going ? t('write.going', { n: going }) : t('write.nowhere'),
          explained.strategy ? ` ${t(`strategy.${explained.strategy}.hint`)}` : '',
          explained.send_at ? ` ${t('message.due', { at: exactly(explained.send_at) })}` : ''),
        explained.channels.map(channel)));
  }

  async function send(event) {
    event.preventDefault();
    soon.stop();
    const button = form.querySelector('[type=submit]');
    button.disabled = true;
    try {
      const answer = await call('POST', 'v1/messages', body(), {
        headers: { 'Idempotency-Key': [...crypto.getRandomValues(new Uint32Array(4))].join('-') } });
      known = new Map();
      put(said);
      draw(known);
      toast(t('write.sent'));
      put(seen, h('h2', {}, t('write.sent')), h('p', {},
        h('a', { class: 'button', href: link('log', { message: answer.id }) }, t('write.follow'))));
      for (const name of ['title', 'description']) inputs[name].value = '';
      seen.querySelector('a').focus();
    } catch (error) {
      known = new Map((error.errors || []).map((one) => [one.field, one.message]));
      draw(known);
      put(said, h('p', { class: 'note bad wrap' }, sentence(error)));
    }
    button.disabled = false;
  }

  return { leave() { soon.stop(); asking.abort(); } };
}

function channel(one) {
  const parts = Object.entries(one.content?.parts || {});
  return h('article', { class: `preview ${one.would_send ? '' : 'not'}` },
    h('div', { class: 'buttons' }, h('h3', {}, one.channel),
      h('span', { class: 'soft small' }, one.plugin.name),
      h('span', { class: `badge ${one.would_send ? 'good' : 'off'}` },
        t(one.would_send ? 'write.would' : 'write.wouldnot'))),
    one.why_not && h('p', { class: 'wrap' }, one.why_not),
    one.waits_for && h('p', { class: 'wrap' }, one.waits_for),
    one.condition_text && h('p', { class: 'soft small wrap' }, one.condition_text),
    one.due_at && one.would_send && Date.parse(one.due_at) > Date.now() + 60_000
      && h('p', { class: 'soft small' }, t('message.due', { at: moment(one.due_at) })),
    one.content?.error && h('p', { class: 'note bad wrap' }, one.content.error),
    parts.length > 0 && h('dl', {}, parts.map(([name, value]) => [h('dt', {}, name),
      h('dd', {}, h('pre', {}, readable(value)))])));
}

/** Write a part of what would be sent so that people can read it. */
function readable(value) {
  if (typeof value !== 'string') return JSON.stringify(value, null, 2);
  if (!/^\s*[{[]/.test(value)) return value;
  try { return JSON.stringify(JSON.parse(value), null, 2); } catch { return value; }
}
