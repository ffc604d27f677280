// Where the reader is: the view and its filters, as they stand behind the # of the address.

/** Read the address: `#/log?status=failed` is the view `log` with its filters. */
export function where() {
  const [path, written = ''] = location.hash.replace(/^#\/?/, '').split('?');
  return { view: path || 'log', values: Object.fromEntries(new URLSearchParams(written)) };
}

/** Write an address. */
export function link(view, values = {}) {
  const written = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined && value !== null && value !== '') written.set(name, value);
  }
  const text = written.toString();
  return text ? `#/${view}?${text}` : `#/${view}`;
}

/** Go there; `replace` leaves no step in the browser's history. */
export function go(view, values = {}, { replace = false } = {}) {
  const address = link(view, values);
  if (address === location.hash) return;
  if (replace) {
    history.replaceState(null, '', address);
    dispatchEvent(new HashChangeEvent('hashchange'));
  } else {
    location.hash = address;
  }
}
