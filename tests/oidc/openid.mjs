// How the provider is set up: its clients, scopes, keys and the two forms of its access tokens.
import { generateKeyPairSync, randomBytes } from 'node:crypto';

import { claimsInTokens, claimsOf } from './people.mjs';
import { Store } from './store.mjs';

export const RESOURCE_SERVER = 'scistream-s2cs';
export const NATIVE = 'scistream-native';
export const WORKFLOW = 'scistream-workflow';

// A client that asks for one of these resources (RFC 8707) gets tokens of that form.
const FORMS = ['opaque', 'RS256', 'ES256'];
const RESOURCES = new Map(FORMS.map((form) => [`https://s2cs.example/${form}`, form]));

export function newKeys() {
  const made = [
    ['RS256', generateKeyPairSync('rsa', { modulusLength: 2048 })],
    ['ES256', generateKeyPairSync('ec', { namedCurve: 'P-256' })],
  ];
  return made.map(([alg, { privateKey }]) => {
    return { ...privateKey.export({ format: 'jwk' }), alg, use: 'sig' };
  });
}

// What getResourceServerInfo() tells of this service.
export function resourceServer(form, scopes, audience = RESOURCE_SERVER) {
  const common = { audience, scope: scopes.join(' ') };
  if (form === 'opaque') return { ...common, accessTokenFormat: 'opaque' };
  return { ...common, accessTokenFormat: 'jwt', jwt: { sign: { alg: form } } };
}

function clients({ resourceServerSecret, workflowSecret }) {
  return [
    {
      client_id: RESOURCE_SERVER,
      client_secret: resourceServerSecret,
      token_endpoint_auth_method: 'client_secret_basic',
      redirect_uris: [],
      response_types: [],
      grant_types: [],
    },
    {
      client_id: NATIVE,
      application_type: 'native',
      token_endpoint_auth_method: 'none',
      // Any port will do (RFC 8252, section 7.3).
      redirect_uris: [
        'http://127.0.0.1/',
        'http://127.0.0.1/callback',
        'http://[::1]/',
        'http://[::1]/callback',
      ],
      response_types: ['code'],
      grant_types: [
        'authorization_code',
        'refresh_token',
        'urn:ietf:params:oauth:grant-type:device_code',
      ],
    },
    {
      client_id: WORKFLOW,
      client_secret: workflowSecret,
      token_endpoint_auth_method: 'client_secret_basic',
      redirect_uris: [],
      response_types: [],
      grant_types: ['client_credentials'],
    },
  ];
}

// What stays when keys are rotated, and with them the provider itself.
export class Setup {
  constructor({ issuer, mount, people, secrets, ttl, form, deviceInterval }) {
    if (!FORMS.includes(form)) throw new Error(`access tokens are one of ${FORMS}, not ${form}`);
    Object.assign(this, { issuer, mount, people, secrets, ttl, form, deviceInterval });
    // The second has the shape of those of Globus Auth.
    this.scopes = ['scistream', `${issuer}/scopes/${RESOURCE_SERVER}/scistream`];
    this.entries = new Map();
    this.cookieKeys = [randomBytes(16).toString('hex')];
    this.overrides = new WeakMap(); // of a minted token: {claims, header}
  }

  // What a token says besides what the provider knows of it. That of a client has a subject, too.
  #extra(token) {
    const person = this.people.of(token.accountId);
    return person ? claimsInTokens(person) : { sub: token.clientId };
  }

  #customize(token, parts) {
    const { claims = {}, header = {} } = this.overrides.get(token) ?? {};
    const without = (members) =>
      Object.fromEntries(Object.entries(members).map(([name, value]) => [name, value ?? undefined]));
    Object.assign(parts.payload, without(claims));
    parts.header = without(header);
  }

  #features() {
    const enabled = true;
    return {
      devInteractions: { enabled: false },
      clientCredentials: { enabled },
      revocation: { enabled },
      introspection: {
        enabled,
        allowedPolicy: (_ctx, client) => client.clientId === RESOURCE_SERVER,
      },
      deviceFlow: { enabled },
      resourceIndicators: {
        enabled,
        defaultResource: (_ctx, _client, oneOf) =>
          oneOf ? oneOf[0] : `https://s2cs.example/${this.form}`,
        getResourceServerInfo: (_ctx, resource) => {
          const form = RESOURCES.get(resource);
          if (!form) throw new this.InvalidTarget();
          return resourceServer(form, this.scopes);
        },
        useGrantedResource: () => true, // with the scope openid, too
      },
    };
  }

  #configuration(keys) {
    return {
      adapter: (model) => new Store(model, this.entries),
      claims: {
        openid: ['sub'],
        email: ['email', 'email_verified'],
        profile: ['name', 'preferred_username'],
        groups: ['groups'],
      },
      clients: clients(this.secrets),
      conformIdTokenClaims: false,
      cookies: { keys: this.cookieKeys },
      expiresWithSession: () => false,
      extraTokenClaims: (_ctx, token) => this.#extra(token),
      features: this.#features(),
      findAccount: (_ctx, sub) => {
        const person = this.people.of(sub);
        return person && { accountId: sub, claims: () => claimsOf(person) };
      },
      formats: { customizers: { jwt: (_ctx, token, parts) => this.#customize(token, parts) } },
      interactions: { url: (_ctx, { uid }) => `${this.mount}/interaction/${uid}` },
      jwks: { keys },
      scopes: ['openid', 'offline_access', ...this.scopes],
      ttl: this.ttl,
    };
  }

  // A provider with these keys, the first of each kind to sign with, the others only published.
  provider({ Provider, errors }, keys) {
    this.InvalidTarget = errors.InvalidTarget;
    const provider = new Provider(this.issuer, this.#configuration(keys));
    provider.on('server_error', (_ctx, error) => console.error(error));
    provider.use(async (ctx, next) => {
      await next();
      // Clients wait five seconds between questions if nobody says how long.
      if (ctx.body?.device_code) ctx.body = { ...ctx.body, interval: this.deviceInterval };
    });
    return provider;
  }
}
