// The provider's memory. Its own forgets the oldest beyond a thousand entries, tokens among them.
export class Store {
  static #grantable = new Set(['AccessToken', 'AuthorizationCode', 'RefreshToken', 'DeviceCode']);
  #model;
  #entries;

  // `entries` is one Map for all models and outlives the providers that use it.
  constructor(model, entries) {
    this.#model = model;
    this.#entries = entries;
  }

  #key(id) {
    return `${this.#model}:${id}`;
  }

  async upsert(id, payload) {
    this.#entries.set(this.#key(id), payload);
  }

  async find(id) {
    return this.#entries.get(this.#key(id)); // a model that has expired says so itself
  }

  #findBy(member, value) {
    for (const [key, payload] of this.#entries) {
      if (key.startsWith(`${this.#model}:`) && payload[member] === value) return payload;
    }
    return undefined;
  }

  async findByUid(uid) {
    return this.#findBy('uid', uid);
  }

  async findByUserCode(userCode) {
    return this.#findBy('userCode', userCode);
  }

  async consume(id) {
    this.#entries.get(this.#key(id)).consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    this.#entries.delete(this.#key(id));
  }

  async revokeByGrantId(grantId) {
    for (const [key, payload] of this.#entries) {
      if (payload.grantId === grantId && Store.#grantable.has(payload.kind)) {
        this.#entries.delete(key);
      }
    }
  }
}
