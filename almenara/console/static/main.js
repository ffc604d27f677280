// Starts the page: who is signed in, which view, and the frame around it.

import { h, put } from './dom.js';
import { health } from './health.js';
import { log } from './log.js';
import { link, where } from './place.js';
import { routes } from './routes.js';
import { session } from './session.js';
import { signin } from './signin.js';
import { language, languages, speak, t } from './words.js';
import { write } from './write.js';

const VIEWS = { log, routes, write, health };
const main = document.getElementById('main');
let shown = null;

function frame(view) {
  const open = session.isOpen;
  put(document.getElementById('nav'), open ? Object.keys(VIEWS).map((name) => h('a', {
    href: link(name), 'aria-current': name === view ? 'page' : null,
  }, t(`nav.${name}`))) : []);
  const other = Object.keys(languages).find((one) => one !== language);
  put(document.getElementById('corner'),
    h('button', {
      class: 'plain', lang: other, onclick: () => { speak(other); location.reload(); },
    }, languages[other]),
    open && session.kept.token && h('button', {
      onclick: () => { session.end(); show(); },
    }, t('signin.out')));
}

/** Show the view that the address names, or let the one that is shown follow the address. */
function show() {
  const { view, values } = where();
  const name = session.isOpen ? (view in VIEWS ? view : 'log') : 'signin';
  document.title = `${t(`nav.${name}`)} · Almenara`;
  if (shown?.name === name) {
    shown.follow?.(values);
    return;
  }
  const moved = shown !== null;
  shown?.leave?.();
  frame(name);
  main.replaceChildren();
  shown = { name, ...(name === 'signin' ? signin(main, show) : VIEWS[name](main, values)) };
  if (moved) main.focus({ preventScroll: true });
  scrollTo(0, 0);
}

document.documentElement.lang = language;
const skip = document.getElementById('skip');
skip.textContent = t('skip');
skip.addEventListener('click', (event) => { event.preventDefault(); main.focus(); });
session.onRefused = show;
addEventListener('hashchange', show);
session.finish().then(show);
