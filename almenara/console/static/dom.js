// Builds the page's elements; data only ever becomes text or an attribute, never markup.

/** Make an element: attributes, `on...` listeners and properties, then children. */
export function h(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** Make an element of a picture. */
export function s(name, attributes = {}, ...children) {
  return fill(document.createElementNS('http://www.w3.org/2000/svg', name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'value' || name === 'checked' || name === 'disabled') element[name] = value;
    else element.setAttribute(name, value === true ? '' : value);
  }
  add(element, children);
  return element;
}

/** Put children into an element; nothing becomes nothing. */
export function add(element, children) {
  for (const one of [children].flat(5)) {
    if (one === null || one === undefined || one === false) continue;
    element.append(one instanceof Node ? one : String(one));
  }
}

/** Replace what an element holds. */
export function put(element, ...children) {
  element.replaceChildren();
  add(element, children);
}

let shown = 0;

/** Say something shortly, also to screen readers. */
export function toast(text) {
  const place = document.getElementById('toast');
  place.textContent = text;
  clearTimeout(shown);
  shown = setTimeout(() => { place.textContent = ''; }, 6000);
}

let number = 0;

/** Return an id that nothing else has. */
export function newId(word = 'id') {
  number += 1;
  return `${word}-${number}`;
}

/** Make a labelled control; `wrong` is where its mistake is told. */
export function field(label, control, { hint, error, wide, look = '' } = {}) {
  control.id ||= newId('field');
  const about = [];
  const below = [];
  if (hint) {
    const id = newId('hint');
    about.push(id);
    below.push(h('span', { class: 'hint', id }, hint));
  }
  if (error) {
    const id = newId('wrong');
    about.push(id);
    control.setAttribute('aria-invalid', 'true');
    below.push(h('span', { class: 'wrong', id }, error));
  }
  if (about.length) control.setAttribute('aria-describedby', about.join(' '));
  if (control.type === 'checkbox') {
    return h('div', { class: 'field' },
      h('span', { class: 'check' }, control, h('label', { for: control.id }, label)), below);
  }
  return h('div', { class: `field ${wide ? 'wide' : look}` },
    h('label', { for: control.id }, label), control, below);
}

/** Make a list to choose from: `[[value, text], ...]`. */
export function select(name, options, chosen, attributes = {}) {
  const known = options.some(([value]) => value === chosen);
  const all = known || !chosen ? options : [...options, [chosen, chosen]];
  return h('select', { name, ...attributes }, all.map(([value, text]) => {
    const option = h('option', { value }, text);
    option.selected = value === (chosen ?? '');
    return option;
  }));
}

/** Call something a while after it was asked for last. */
export function later(milliseconds, call) {
  let timer = 0;
  const wait = (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => call(...given), milliseconds);
  };
  wait.stop = () => clearTimeout(timer);
  return wait;
}
