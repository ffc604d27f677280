// The view before all others: with a pasted token, or by the issuer's own page.

import { call, sentence } from './api.js';
import { field, h, put } from './dom.js';
import { session } from './session.js';
import { t } from './words.js';

/** Show it; `done` is called when somebody has signed in. */
export function signin(main, done) {
  const said = h('div', { role: 'alert' });
  const say = (text) => put(said, text && h('p', { class: 'note bad wrap' }, text));
  const token = h('input', { type: 'password', autocomplete: 'off', required: true });
  const form = h('form', { class: 'form', onsubmit: take },
    field(t('signin.token'), token, { hint: t('signin.hint') }),
    h('button', { class: session.issuer ? '' : 'main', type: 'submit' }, t('signin.use')));

  async function take(event) {
    event.preventDefault();
    session.paste(token.value);
    try {
      await call('GET', 'v1/messages?limit=1');
    } catch (error) {
      // Whoever may not read the log may still do other things.
      if (error.status !== 403) {
        say(sentence(error));
        if (session.kept.token) session.end();
        return;
      }
    }
    done();
  }

  async function leave() {
    try { await session.begin(); } catch (error) { say(t('signin.failed', { error: error.message })); }
  }

  put(main, h('section', { class: 'card signin' },
    h('h1', {}, t('signin.title')),
    said,
    session.issuer && h('button', { class: 'main', type: 'button', onclick: leave },
      t('signin.issuer.button', { host: new URL(session.issuer).host })),
    session.issuer ? h('details', {}, h('summary', {}, t('signin.paste')), form) : form));
  say(session.reason);
  return {};
}
