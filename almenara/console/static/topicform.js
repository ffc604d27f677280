// The form of a topic: its channels in order, each with its condition.

import { call, sentence } from './api.js';
import { field, h, put, select, toast } from './dom.js';
import { buttons, frame, refused, submit } from './panel.js';
import { t } from './words.js';

/** Show it; the name `+` is a new topic. */
export function topicForm(side, known, name, close, done) {
  const isNew = name === '+';
  const topic = isNew
    ? { name: '', strategy: 'all', step_deadline_seconds: 300, enabled: true, redact: false, channels: [] }
    : known.topics.find((one) => one.name === name);
  const inner = frame(side, isNew ? t('routes.newtopic') : name, close);
  if (!topic) { put(inner, h('p', { class: 'note bad' }, t('routes.notopic', { name }))); return; }
  const state = {
    ...topic, steps: topic.channels.map((one) => ({
      channel: one.channel, condition: one.condition ? JSON.stringify(one.condition, null, 1) : '' })),
  };
  draw(new Map(), '');

  function draw(errors, text) {
    const bind = (key, property = 'value') => (event) => { state[key] = event.target[property]; };
    const errorOf = (...keys) => keys.map((one) => errors.get(one)).find(Boolean);
    const steps = h('div', { class: 'form' }, state.steps.map((one, index) => step(one, index, errors)));
    put(inner, h('form', { class: 'form', novalidate: true, onsubmit: send },
      refused(text),
      isNew && field(t('topic.name'), h('input', { value: state.name, oninput: bind('name'),
        maxlength: 64, autocapitalize: 'none', autocomplete: 'off' }),
      { error: errorOf('name'), hint: t('form.namehint') }),
      field(t('topic.strategy'), select('strategy', [['all', t('strategy.all')],
        ['failover', t('strategy.failover')]], state.strategy, {
        onchange: (event) => { state.strategy = event.target.value; draw(errors, text); } }),
      { hint: t(`strategy.${state.strategy}.hint`) }),
      state.strategy === 'failover' && field(t('topic.deadline'), h('input', { type: 'number', min: 5,
        max: 86400, value: state.step_deadline_seconds, oninput: bind('step_deadline_seconds') }),
      { error: errorOf('step_deadline_seconds') }),
      h('fieldset', { class: 'form' }, h('legend', { class: 'label' }, h('h3', {}, t('routes.channels'))),
        errorOf('channels') && h('p', { class: 'note bad' }, errorOf('channels')), steps,
        h('button', { type: 'button', disabled: !known.channels.length, onclick: () => {
          const used = new Set(state.steps.map((one) => one.channel));
          const next = known.channels.find((one) => !used.has(one.name)) || known.channels[0];
          state.steps.push({ channel: next.name, condition: '' });
          draw(errors, text);
        } }, t('topic.add'))),
      field(t('topic.enabled'), h('input', { type: 'checkbox', checked: state.enabled,
        onchange: bind('enabled', 'checked') })),
      field(t('topic.redact'), h('input', { type: 'checkbox', checked: state.redact,
        onchange: bind('redact', 'checked') }), { hint: t('topic.redact.hint') }),
      (topic.template || topic.accept) && h('p', { class: 'note' }, t('topic.templates')),
      buttons(isNew ? null : remove)));
    if (text) inner.querySelector('.note.bad')?.scrollIntoView({ block: 'nearest' });
  }

  function step(one, index, errors) {
    const move = (to) => {
      state.steps.splice(index, 1);
      if (to !== null) state.steps.splice(to, 0, one);
      draw(errors, '');
    };
    const mistakes = [...errors].filter(([key]) => key.startsWith(`channels.${index}.`));
    const words = mistakes.map(([key, said]) => {
      const place = key.split('.').slice(3).join('.');
      return place ? `${place}: ${said}` : said;
    }).join(' ');
    const condition = h('textarea', { class: 'code', rows: 3, oninput: (event) => {
      one.condition = event.target.value; } });
    condition.value = one.condition;
    return h('div', { class: 'step' },
      h('div', { class: 'row' },
        select('channel', known.channels.map((each) => [each.name, each.name]), one.channel, {
          'aria-label': t('topic.channel', { n: index + 1 }),
          onchange: (event) => { one.channel = event.target.value; } }),
        h('button', { type: 'button', disabled: index === 0, 'aria-label': t('topic.up', {
          name: one.channel }), onclick: () => move(index - 1) }, '↑'),
        h('button', { type: 'button', disabled: index === state.steps.length - 1,
          'aria-label': t('topic.down', { name: one.channel }), onclick: () => move(index + 1) }, '↓'),
        h('button', { type: 'button', 'aria-label': t('topic.remove', { name: one.channel }),
          onclick: () => move(null) }, '✕')),
      h('details', { open: Boolean(one.condition || words) }, h('summary', {}, t('topic.condition')),
        field(t('topic.condition.label'), condition, {
          hint: t('topic.condition.hint'), error: words })));
  }

  function written() {
    const channels = state.steps.map((one, index) => {
      if (!one.condition.trim()) return { channel: one.channel };
      try {
        return { channel: one.channel, condition: JSON.parse(one.condition) };
      } catch {
        const error = new Error(t('form.nojson'));
        error.field = `channels.${index}.condition`;
        throw error;
      }
    });
    return {
      strategy: state.strategy, step_deadline_seconds: Number(state.step_deadline_seconds),
      enabled: state.enabled, redact: state.redact, channels,
    };
  }

  function send(event) {
    event.preventDefault();
    let body;
    try { body = written(); } catch (error) {
      draw(new Map([[error.field, error.message]]), error.message);
      return;
    }
    submit(() => (isNew ? call('POST', 'v1/topics', { name: state.name, ...body })
      : call('PATCH', `v1/topics/${encodeURIComponent(name)}`, body)), draw,
    (saved) => done({ topic: saved.name }), t('form.saved'));
  }

  async function remove() {
    try {
      await call('DELETE', `v1/topics/${encodeURIComponent(name)}`);
      toast(t('form.deleted'));
      await done({});
    } catch (error) { draw(new Map(), sentence(error)); }
  }
}
