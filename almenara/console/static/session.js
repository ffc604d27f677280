// Who is signed in: a pasted token, or one from OpenID Connect (code flow with PKCE).
// It is kept for this tab alone, and for no longer than the tab.

import { t } from './words.js';

const told = (name) => document.querySelector(`meta[name="almenara-${name}"]`)?.content || '';
const KEPT = 'almenara.session';
const STARTED = 'almenara.signing-in';

function read(key) {
  try { return JSON.parse(sessionStorage.getItem(key)) || {}; } catch { return {}; }
}

class Session {
  constructor() {
    this.asksForToken = told('auth') === 'token';
    this.issuer = told('issuer');
    this.kept = read(KEPT);
    this.onRefused = () => {};
    this.reason = '';
    this.renewing = null;
  }

  /** Whether requests can be made now. */
  get isOpen() { return !this.asksForToken || Boolean(this.kept.token); }

  headers() {
    return this.kept.token ? { Authorization: `Bearer ${this.kept.token}` } : {};
  }

  /** Take a token as it was pasted. */
  paste(text) {
    this.#keep({ token: text.trim().replace(/^bearer\s+/i, '') });
  }

  /** Forget the token. */
  end(reason = '') {
    this.reason = reason;
    this.#keep({});
  }

  /** The server did not take the token. */
  refused(reason) {
    this.asksForToken = true;
    this.end(this.kept.token ? reason : '');
    this.onRefused();
  }

  #keep(values) {
    this.kept = values;
    sessionStorage.setItem(KEPT, JSON.stringify(values));
  }

  /** Go to the issuer's page; it sends the browser back here. */
  async begin() {
    if (!crypto.subtle) throw new Error(t('signin.insecure'));
    const issuer = await this.#discover();
    const verifier = random();
    const state = random();
    const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier));
    const started = { verifier, state, hash: location.hash };
    sessionStorage.setItem(STARTED, JSON.stringify(started));
    const address = new URL(issuer.authorization_endpoint);
    const asked = {
      response_type: 'code', client_id: told('client-id'), redirect_uri: here(),
      scope: told('scope'), state, code_challenge: written(new Uint8Array(digest)),
      code_challenge_method: 'S256',
    };
    for (const [name, value] of Object.entries(asked)) address.searchParams.set(name, value);
    location.assign(address);
  }

  /** Take what the issuer sent back with the browser, if it did. */
  async finish() {
    const given = new URLSearchParams(location.search);
    if (!given.has('state') || !(given.has('code') || given.has('error'))) return;
    const started = read(STARTED);
    sessionStorage.removeItem(STARTED);
    history.replaceState(null, '', here() + (started.hash || ''));
    try {
      if (!started.state || given.get('state') !== started.state) throw new Error(t('signin.state'));
      if (given.has('iss') && plain(given.get('iss')) !== plain(this.issuer)) {
        throw new Error(t('signin.issuer'));
      }
      if (given.has('error')) throw new Error(given.get('error_description') || given.get('error'));
      await this.#fetch({
        grant_type: 'authorization_code', code: given.get('code'), redirect_uri: here(),
        code_verifier: started.verifier,
      });
    } catch (error) {
      this.end(t('signin.failed', { error: error.message }));
    }
  }

  /** Get a new token with the refresh token, if there is one; tells whether it could. */
  renew() {
    if (!this.kept.refresh) return Promise.resolve(false);
    this.renewing ||= this.#fetch({ grant_type: 'refresh_token', refresh_token: this.kept.refresh })
      .then(() => true, () => false)
      .finally(() => { this.renewing = null; });
    return this.renewing;
  }

  async #discover() {
    const answer = await fetch(`${plain(this.issuer)}/.well-known/openid-configuration`,
      { credentials: 'omit' });
    if (!answer.ok) throw new Error(t('signin.discovery', { status: answer.status }));
    const document = await answer.json();
    if (plain(document.issuer || '') !== plain(this.issuer)) throw new Error(t('signin.issuer'));
    return document;
  }

  async #fetch(asked) {
    const issuer = await this.#discover();
    const answer = await fetch(issuer.token_endpoint, {
      method: 'POST', credentials: 'omit',
      body: new URLSearchParams({ client_id: told('client-id'), ...asked }),
    });
    const given = await answer.json().catch(() => ({}));
    if (!answer.ok) {
      throw new Error(given.error_description || given.error || String(answer.status));
    }
    // Some issuers' access tokens are for themselves alone; their id token can be checked by all.
    const readable = /^[\w-]+\.[\w-]+\.[\w-]+$/.test(given.access_token || '');
    const token = readable ? given.access_token : given.id_token;
    if (!token) throw new Error(t('signin.none'));
    this.#keep({ token, refresh: given.refresh_token || this.kept.refresh });
  }
}

const plain = (issuer) => issuer.replace(/\/$/, '');
const here = () => location.origin + location.pathname;
const random = () => written(crypto.getRandomValues(new Uint8Array(32)));

function written(bytes) {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}

export const session = new Session();
