// What a test may do to the provider: POST /test/NAME with a JSON object, and GET /test/counts.
import { body, send } from './http.mjs';
import { NATIVE, newKeys, resourceServer, WORKFLOW } from './openid.mjs';

export class Controls {
  #setup;
  #library;
  #keys = newKeys();
  #counts = {};
  #rules = []; // {under, status}: no status, no answer
  #held = []; // requests that wait for /test/resume, as functions

  constructor(setup, library) {
    this.#setup = setup;
    this.#library = library;
    this.#renew();
  }

  #renew() {
    this.provider = this.#setup.provider(this.#library, this.#keys);
    this.callback = this.provider.callback();
  }

  // Runs `answer` now, later, or never, as the test wants.
  admit(path, response, answer) {
    this.#counts[path] = (this.#counts[path] ?? 0) + 1;
    const rule = this.#rules.find(({ under }) => path.startsWith(under));
    if (!rule) {
      answer();
    } else if (rule.status) {
      send(response, rule.status, { error: 'server_error', error_description: 'as told' });
    } else {
      this.#held.push(() => response.destroyed || answer());
    }
  }

  async #mint({ user, client, scope, audience, lifetime, form, claims, header }) {
    const { provider } = this;
    const model = user ? provider.AccessToken : provider.ClientCredentials;
    const server = resourceServer(form, this.#setup.scopes, audience);
    const token = new model({
      accountId: user ? this.#setup.people.named(user).sub : undefined,
      client: await provider.Client.find(client ?? (user ? NATIVE : WORKFLOW)),
      exp: Math.floor(Date.now() / 1000) + lifetime,
      resourceServer: new provider.ResourceServer('https://s2cs.example/minted', server),
      scope,
    });
    this.#setup.overrides.set(token, { claims, header });
    return { token: await token.save() };
  }

  // The old keys sign nothing any more, and are no longer published unless `keep`.
  #rotate({ keep }) {
    this.#keys = [...newKeys(), ...(keep ? this.#keys : [])];
    this.#renew();
    return {};
  }

  #resume() {
    this.#rules = [];
    for (const answer of this.#held.splice(0)) answer();
    return {};
  }

  #act(name, wish) {
    switch (name) {
      case 'counts':
        return this.#counts;
      case 'hang':
      case 'fail':
        this.#rules.unshift({ under: wish.under ?? '/', status: name === 'fail' && wish.status });
        return {};
      case 'resume':
        return this.#resume();
      case 'rotate-keys':
        return this.#rotate(wish);
      case 'mint':
        return this.#mint(wish);
      case 'person':
        return Object.assign(this.#setup.people.named(wish.username), wish);
      default:
        throw new Error(`there is no /test/${name}`);
    }
  }

  async control(name, request, response) {
    try {
      const text = await body(request);
      send(response, 200, await this.#act(name, text ? JSON.parse(text) : {}));
    } catch (error) {
      send(response, 400, { error: String(error) });
    }
  }
}
