// Pages on which a user says who they are and whether a client may act for them. Whoever posts
// `login=NAME` is NAME; `allow=no` refuses.
import { form, send } from './http.mjs';

const escaped = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

function page(prompt, clientId) {
  return `<!DOCTYPE html>
<title>${prompt}</title>
<form method="post">
<p>${escaped(clientId)} wants to act for you.</p>
<input type="text" name="login">
<button name="allow" value="yes">Yes</button><button name="allow" value="no">No</button>
</form>
`;
}

async function consent(provider, { prompt: { details }, params, session, grantId }) {
  const grant = grantId
    ? await provider.Grant.find(grantId)
    : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  if (details.missingOIDCScope) grant.addOIDCScope(details.missingOIDCScope.join(' '));
  if (details.missingOIDCClaims) grant.addOIDCClaims(details.missingOIDCClaims);
  for (const [resource, scopes] of Object.entries(details.missingResourceScopes ?? {})) {
    grant.addResourceScope(resource, scopes.join(' '));
  }
  return { consent: { grantId: await grant.save() } };
}

export async function interaction(provider, people, request, response) {
  const details = await provider.interactionDetails(request, response);
  const { name } = details.prompt;
  if (request.method !== 'POST') {
    send(response, 200, page(name, details.params.client_id), 'text/html');
    return;
  }
  const { login, allow } = await form(request);
  let result;
  if (allow === 'no' || (name === 'login' && !login)) {
    result = { error: 'access_denied', error_description: 'the user said no' };
  } else if (name === 'login') {
    result = { login: { accountId: people.named(login).sub } };
  } else {
    result = await consent(provider, details);
  }
  await provider.interactionFinished(request, response, result);
}
