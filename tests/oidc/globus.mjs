// Introspection as Globus Auth answers it: https://docs.globus.org/api/auth/reference/
import { form, send } from './http.mjs';
import { RESOURCE_SERVER } from './openid.mjs';

async function find(provider, token) {
  for (const model of [provider.AccessToken, provider.ClientCredentials, provider.RefreshToken]) {
    const found = await model.find(token);
    if (found?.isValid) return found;
  }
  return undefined;
}

function whose(token, people) {
  const person = people.of(token.accountId);
  if (person) return person;
  // A client has an identity of its own there.
  const username = `${token.clientId}@clients.example.org`;
  return { sub: token.clientId, username, name: token.clientId, email: null, identities: [] };
}

export async function introspect(provider, { people, secrets, issuer }, request, response) {
  const expected = Buffer.from(`${RESOURCE_SERVER}:${secrets.resourceServerSecret}`);
  if (request.headers.authorization !== `Basic ${expected.toString('base64')}`) {
    send(response, 401, { errors: [{ status: '401', code: 'UNAUTHORIZED' }] });
    return;
  }
  const { token: value, include = '' } = await form(request);
  const token = await find(provider, value);
  if (!token) {
    send(response, 200, { active: false });
    return;
  }
  const { sub, username, name, email, identities } = whose(token, people);
  const answer = {
    active: true,
    scope: token.scope ?? '',
    client_id: token.clientId,
    sub,
    username,
    name,
    email,
    aud: [token.aud],
    iss: issuer,
    exp: token.exp,
    iat: token.iat,
    nbf: token.iat,
  };
  if (include.split(',').includes('identity_set')) answer.identity_set = [sub, ...identities];
  send(response, 200, answer);
}
