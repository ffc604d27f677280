// A form beside a view: its head, where its mistakes are told, and how it is sent.

import { Problem, sentence } from './api.js';
import { h, put, toast } from './dom.js';
import { t } from './words.js';

/** Make the frame of a form; returns its heading and where its content goes. */
export function frame(side, title, close) {
  const heading = h('h2', { tabindex: '-1' }, title);
  const inner = h('div', { class: 'inner' });
  put(side, h('div', { class: 'head' }, heading,
    h('button', { type: 'button', onclick: close, 'aria-label': t('close') }, '✕')), inner);
  side.setAttribute('aria-label', title);
  heading.focus({ preventScroll: true });
  return inner;
}

/**
 * Send a form; what the server refuses is told where it is wrong.
 * @param draw draws the form anew with its mistakes, by their field
 */
export async function submit(request, draw, done, said) {
  try {
    const answer = await request();
    toast(said);
    await done(answer);
  } catch (error) {
    const errors = new Map();
    if (error instanceof Problem) {
      for (const one of error.errors) if (!errors.has(one.field)) errors.set(one.field, one.message);
    }
    draw(errors, sentence(error));
  }
}

/** The sentence above a form that was refused. */
export const refused = (text) => h('div', { role: 'alert' },
  text && h('p', { class: 'note bad wrap' }, text));

/** The buttons below a form; deleting asks once more. */
export function buttons(remove) {
  const button = remove && h('button', { class: 'danger', type: 'button', onclick: () => {
    if (button.dataset.sure) { remove(); return; }
    button.dataset.sure = 'yes';
    button.textContent = t('form.sure');
  } }, t('form.delete'));
  return h('div', { class: 'buttons' },
    h('button', { class: 'main', type: 'submit' }, t('form.save')), button);
}
