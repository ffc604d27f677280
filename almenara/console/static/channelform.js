// The form of a channel: its plugin's settings by their schema, and how it sends.

import { call, sentence } from './api.js';
import { field, h, put, select, toast } from './dom.js';
import { buttons, frame, refused, submit } from './panel.js';
import { schemaForm } from './schemaform.js';
import { test } from './trial.js';
import { duration, moment, t, word } from './words.js';

const NUMBERS = ['timeout_seconds', 'concurrency', 'burst', 'breaker_failures'];
const TEXTS = ['rate', 'breaker_wait', 'verify_every'];

/** What the server had to say of what was saved last: its lists do not repeat it. */
let told = { name: '', warnings: [] };

/** Show it; the name `+` is a new channel. */
export function channelForm(side, known, name, close, done) {
  const isNew = name === '+';
  const channel = isNew ? { name: '', plugin: '', settings: {} }
    : known.channels.find((one) => one.name === name);
  const inner = frame(side, isNew ? t('routes.newchannel') : name, close);
  if (!channel) { put(inner, h('p', { class: 'note bad' }, t('routes.nochannel', { name }))); return; }
  const path = `v1/channels/${encodeURIComponent(name)}`;
  const names = new Map();
  for (const one of known.plugins) names.set(one.name, (names.get(one.name) || 0) + 1);
  const unique = (one) => (names.get(one.name) > 1 ? one.qualified_name : one.name);
  const state = { name: channel.name, plugin: channel.plugin, settings: channel.settings };
  const pluginOf = (text) => known.plugins.find((one) => [one.name, one.qualified_name].includes(text));
  draw(new Map(), '');

  function draw(errors, text) {
    const plugin = pluginOf(state.plugin);
    const opened = [...inner.querySelectorAll('details[open]')].map((one) => one.dataset.part);
    const form = schemaForm(plugin?.settings_schema, state.settings, errors, { isNew });
    const sending = isNew ? null : policy(errors);
    const outcome = h('div', { role: 'status' });
    const read = () => ({ settings: form.read(), ...(sending ? sending.read() : {}) });
    put(inner,
      !isNew && about(),
      h('form', { class: 'form', novalidate: true, onsubmit: (event) => send(event, read) },
        refused(text),
        isNew && field(t('channel.name'), h('input', { value: state.name, maxlength: 64,
          autocapitalize: 'none', autocomplete: 'off',
          oninput: (event) => { state.name = event.target.value; } }),
        { error: errors.get('name'), hint: t('form.namehint') }),
        isNew ? field(t('channel.plugin'), select('plugin', [['', t('channel.choose')],
          ...known.plugins.map((one) => [unique(one), unique(one)])], state.plugin, {
          onchange: (event) => { state.plugin = event.target.value; draw(new Map(), ''); } }),
        { error: errors.get('plugin'), hint: plugin?.settings_schema?.description })
          : h('p', { class: 'soft' }, `${t('channel.plugin')}: ${state.plugin}`),
        !isNew && !plugin && h('p', { class: 'note bad' }, t('channel.noplugin')),
        form.element,
        sending?.element,
        state.plugin && buttons(isNew ? null : () => remove(false))),
      !isNew && h('section', { class: 'form' },
        h('div', { class: 'buttons' },
          h('button', { type: 'button', onclick: (event) => test(event.currentTarget, channel, outcome) },
            t('channel.test')),
          plugin?.verifies && h('button', { type: 'button',
            onclick: (event) => verify(event.currentTarget, outcome) }, t('channel.verify'))),
        outcome));
    for (const part of opened) inner.querySelector(`[data-part=${part}]`)?.setAttribute('open', '');
    if (text) inner.querySelector('.note.bad')?.scrollIntoView({ block: 'nearest' });
  }

  function about() {
    return [
      channel.state === 'paused' && h('div', { class: 'note warn form' },
        h('p', {}, word('paused', channel.state_reason)),
        channel.state_detail && h('p', { class: 'wrap' }, channel.state_detail),
        channel.probe_at && h('p', {}, t('channel.probe', { at: moment(channel.probe_at) })),
        h('div', {}, h('button', { type: 'button', onclick: resume }, t('channel.resume')))),
      channel.verify_outcome && channel.verify_outcome !== 'unsupported' && h('p', {
        class: `note wrap ${channel.verify_outcome === 'ok' ? 'good' : 'bad'}` },
      t(`channel.drill.${channel.verify_outcome}`, { at: moment(channel.verified_at) }), ' ',
      channel.verify_detail),
      told.name === name && told.warnings.map((one) => h('p', { class: 'note warn wrap' }, one)),
    ];
  }

  function policy(errors) {
    const inputs = {};
    const input = (key, attributes) => {
      inputs[key] = h('input', { value: channel[key] ?? '', autocomplete: 'off', ...attributes });
      return field(t(`channel.${key}`), inputs[key], { error: errors.get(key) });
    };
    inputs.enabled = h('input', { type: 'checkbox', checked: channel.enabled });
    inputs.retry_schedule = h('input', { value: channel.retry_schedule.join(', '), autocomplete: 'off' });
    inputs.on_unknown = select('on_unknown', [['retry', t('channel.on_unknown.retry')],
      ['hold', t('channel.on_unknown.hold')]], channel.on_unknown);
    const wrong = [...errors.keys()].some((key) => !key.startsWith('settings'));
    const element = h('details', { open: wrong, 'data-part': 'sending' }, h('summary', {}, t('channel.sending')),
      h('div', { class: 'form' },
        field(t('channel.enabled'), inputs.enabled),
        field(t('channel.retry_schedule'), inputs.retry_schedule, {
          hint: t('channel.retry_schedule.hint'), error: [...errors].filter(([key]) => key.startsWith(
            'retry_schedule')).map(([, said]) => said)[0] }),
        field(t('channel.on_unknown'), inputs.on_unknown),
        h('div', { class: 'pair' },
          NUMBERS.map((key) => input(key, { type: 'number', step: 'any' })),
          TEXTS.map((key) => input(key, { placeholder: key === 'rate' ? '10/s' : '1h' })))));
    return {
      element,
      read() {
        const number = (key) => (inputs[key].value === '' ? null : Number(inputs[key].value));
        const given = {
          enabled: inputs.enabled.checked, on_unknown: inputs.on_unknown.value,
          retry_schedule: inputs.retry_schedule.value.split(/[\s,]+/).filter(Boolean),
          ...Object.fromEntries(NUMBERS.map((key) => [key, number(key)])),
          ...Object.fromEntries(TEXTS.map((key) => [key, inputs[key].value.trim() || null])),
        };
        // Only what was changed: the rest may have been changed by somebody else meanwhile.
        return Object.fromEntries(Object.entries(given).filter(([key, value]) => JSON.stringify(value)
          !== JSON.stringify(channel[key] ?? null)));
      },
    };
  }

  function send(event, read) {
    event.preventDefault();
    let body;
    try { body = read(); } catch (error) {
      draw(new Map([[error.field, error.message]]), error.message);
      return;
    }
    state.settings = { ...state.settings, ...body.settings };
    submit(() => (isNew ? call('POST', 'v1/channels', { name: state.name, plugin: state.plugin, ...body })
      : call('PATCH', path, body)), draw, (saved) => {
      told = { name: saved.name, warnings: saved.warnings };
      return done({ channel: saved.name });
    }, t('form.saved'));
  }

  async function verify(button, place) {
    button.disabled = true;
    try {
      const drill = await call('POST', `${path}/verify`);
      put(place, h('p', { class: `note wrap ${drill.verified ? 'good' : 'bad'}` },
        drill.error || drill.detail || t('channel.verified'), ` (${duration(drill.duration_ms / 1000)})`));
    } catch (error) { put(place, h('p', { class: 'note bad' }, sentence(error))); }
    button.disabled = false;
  }

  async function resume() {
    try {
      await call('POST', `${path}/resume`);
      toast(t('channel.resumed'));
    } catch (error) { toast(sentence(error)); }
    await done({ channel: name });
  }

  async function remove(force) {
    try {
      await call('DELETE', force ? `${path}?force=true` : path);
      toast(t('form.deleted'));
      await done({});
    } catch (error) {
      draw(new Map(), sentence(error));
      if (error.status === 409 && !force) {
        inner.querySelector('form').append(h('button', { type: 'button', class: 'danger',
          onclick: () => remove(true) }, t('channel.force')));
      }
    }
  }
}
