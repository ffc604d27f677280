// Draws a form from a plugin's JSON Schema, and reads it back; secrets are never shown.

import { field, h } from './dom.js';
import { t } from './words.js';

const MASK = '********';

/** Follow references and leave `null` out: what a field holds when it holds something. */
function meant(schema, root) {
  if (schema.$ref) return { ...meant(find(schema.$ref, root), root), ...without(schema, '$ref') };
  const choices = (schema.anyOf || schema.oneOf)?.filter((one) => one.type !== 'null');
  if (choices?.length === 1) {
    return { ...meant(choices[0], root), ...without(schema, 'anyOf', 'oneOf') };
  }
  if (schema.allOf?.length === 1) {
    return { ...meant(schema.allOf[0], root), ...without(schema, 'allOf') };
  }
  return schema;
}

const find = (reference, root) => reference.replace(/^#\//, '').split('/')
  .reduce((at, name) => at?.[name], root) || {};

const without = (schema, ...names) => Object.fromEntries(
  Object.entries(schema).filter(([name]) => !names.includes(name)));

/** Say which control fits a field. */
export function kindOf(schema, root) {
  const one = meant(schema, root);
  if (one.enum || one.const !== undefined) return 'choice';
  if (one.type === 'boolean') return 'switch';
  if (one.type === 'integer' || one.type === 'number') return 'number';
  if (one.type === 'array' && ['string', 'integer'].includes(meant(one.items || {}, root).type)) {
    return 'lines';
  }
  if (one.type === 'object' && one.additionalProperties?.type === 'string') return 'pairs';
  if (one.type === 'string' && (one.format === 'password' || one.writeOnly)) return 'secret';
  if (one.type === 'string') return one.maxLength > 500 ? 'long' : 'text';
  return 'json';
}

/** Make one form; `read()` gives what is to be sent, and throws what cannot be read. */
export function schemaForm(schema, settings, errors, { isNew }) {
  const required = new Set(schema?.required || []);
  const parts = Object.entries(schema?.properties || {})
    .map(([name, given]) => one(name, given, schema, settings, errors, required.has(name), isNew));
  const needed = parts.filter((part) => part.prominent).map((part) => part.element);
  const others = parts.filter((part) => !part.prominent).map((part) => part.element);
  const wrong = parts.some((part) => !part.prominent && part.wrong);
  return {
    element: h('div', { class: 'form' }, needed, others.length > 0 && (needed.length
      ? h('details', { open: wrong, 'data-part': 'more' }, h('summary', {}, t('schema.more', { n: others.length })),
        h('div', { class: 'form' }, others))
      : others)),
    read() {
      const written = {};
      for (const part of parts) {
        const value = part.read();
        if (value !== undefined) written[part.name] = value;
      }
      return written;
    },
  };
}

function one(name, given, root, settings, errors, required, isNew) {
  const schema = meant(given, root);
  const kind = kindOf(given, root);
  const value = settings[name];
  const set = value !== undefined && value !== null && value !== '';
  const fallback = schema.default;
  const example = schema.examples?.[0];
  const control = make(kind, schema, value, { set, fallback, example });
  control.dataset.setting = name;
  const wrong = [...errors].filter(([key]) => key === `settings.${name}` || key === name
    || key.startsWith(`settings.${name}.`)).map(([, said]) => said).join(' ');
  const hint = [schema.description, set && kind === 'secret' && t('schema.kept'),
    kind === 'lines' && t('schema.lines'), kind === 'pairs' && t('schema.pairs'),
    kind === 'json' && t('schema.json')].filter(Boolean).join(' ');
  const label = `${schema.title || name}${required ? ' *' : ''}`;
  const drop = kind === 'secret' && set && !required && h('input', { type: 'checkbox' });
  const element = h('div', { class: 'form' }, field(label, control, { hint, error: wrong }),
    drop && field(t('schema.drop'), drop));
  return {
    name, element, wrong, prominent: required || set || wrong,
    read: () => {
      if (drop && drop.checked) return null;
      return value_of(kind, control, { schema, set, isNew, label, name });
    },
  };
}

function make(kind, schema, value, { set, fallback, example }) {
  const hintText = example === undefined ? '' : typeof example === 'string' ? example
    : Array.isArray(example) && kind === 'lines' ? example.join('\n') : JSON.stringify(example);
  const shown = fallback === undefined || fallback === null || fallback === '' ? hintText
    : String(fallback);
  if (kind === 'choice') {
    const values = schema.enum || [schema.const];
    const control = h('select', {}, !set && h('option', { value: '' }, shown ? `(${shown})` : ''),
      values.map((each) => h('option', { value: JSON.stringify(each) }, String(each))));
    if (set) control.value = JSON.stringify(value);
    return control;
  }
  if (kind === 'switch') {
    const control = h('input', { type: 'checkbox' });
    control.checked = value ?? fallback ?? false;
    control.dataset.first = String(control.checked);
    return control;
  }
  if (['lines', 'pairs', 'json', 'long'].includes(kind)) {
    const control = h('textarea', { class: kind === 'long' ? '' : 'code', rows: 3,
      placeholder: kind === 'lines' ? shown : hintText });
    if (set) control.value = text(kind, value);
    control.dataset.first = control.value;
    return control;
  }
  const type = { number: 'number', secret: 'password', text: 'text' }[kind];
  const control = h('input', { type, autocomplete: kind === 'secret' ? 'new-password' : 'off',
    placeholder: value === MASK ? MASK : shown,
    step: kind === 'number' ? 'any' : null, min: schema.minimum ?? null, max: schema.maximum ?? null });
  // A mask stands for what is kept; anything else was typed just now, and refused with the rest.
  if (set && value !== MASK) control.value = String(value);
  control.dataset.first = control.value;
  return control;
}

function text(kind, value) {
  if (kind === 'lines') return [value].flat().join('\n');
  if (kind === 'pairs' && typeof value === 'object') {
    return Object.entries(value).map(([name, each]) => `${name}: ${each}`).join('\n');
  }
  return typeof value === 'string' ? value : JSON.stringify(value, null, 2);
}

/** Return a field's value: `undefined` leaves it alone, `null` takes it away. */
function value_of(kind, control, { schema, set, label, name }) {
  if (kind === 'switch') {
    return !set && String(control.checked) === control.dataset.first ? undefined : control.checked;
  }
  const written = kind === 'secret' ? control.value : control.value.trim();
  if (written === '') return set && kind !== 'secret' ? null : undefined;
  if (kind === 'number') return Number(written);
  if (kind === 'choice') return JSON.parse(written);
  if (kind === 'lines') {
    const lines = written.split('\n').map((each) => each.trim()).filter(Boolean);
    return schema.items?.type === 'integer' ? lines.map(Number) : lines;
  }
  if (kind === 'pairs') {
    return Object.fromEntries(written.split('\n').filter((each) => each.trim()).map((each) => {
      const [, key, rest] = each.match(/^([^:]*):?(.*)$/);
      return [key.trim(), rest.trim()];
    }));
  }
  if (kind === 'json') {
    try { return JSON.parse(written); } catch {
      const error = new Error(`${label}: ${t('form.nojson')}`);
      error.field = `settings.${name}`;
      throw error;
    }
  }
  return written;
}
