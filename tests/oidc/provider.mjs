// An OpenID provider for tests: https://github.com/panva/node-oidc-provider with clients, users and
// pages of our own, over HTTPS on 127.0.0.1. It says `ready on https://127.0.0.1:PORT` and ends at
// SIGTERM or when its standard input closes, so that it never outlives the test that started it.
//
// Its settings are environment variables:
//   OIDC_MODULES                        the folder in which `npm ci` was run
//   OIDC_TLS_KEY, OIDC_TLS_CERTIFICATE  PEM files
//   OIDC_PORT                           0, a free one, if not set
//   OIDC_MOUNT                          the path of the issuer, as /realms/one; none if not set
//   OIDC_ISSUER                         the issuer; where it listens if not set
//   OIDC_RESOURCE_SERVER_SECRET, OIDC_WORKFLOW_SECRET
//   OIDC_ACCESS_TOKENS                  opaque, RS256 or ES256: those of clients that do not choose
//   OIDC_ACCESS_TTL, OIDC_REFRESH_TTL, OIDC_CODE_TTL, OIDC_DEVICE_TTL, OIDC_ID_TTL  seconds
//   OIDC_DEVICE_INTERVAL                seconds between a device's questions
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { Controls } from './controls.mjs';
import { introspect } from './globus.mjs';
import { interaction } from './login.mjs';
import { Setup } from './openid.mjs';
import { People } from './people.mjs';

const { env } = process;
console.info = () => {}; // advice for providers that mean it

// This file is in the source tree, and what it needs is not.
const find = createRequire(join(env.OIDC_MODULES, 'package.json'));
const library = await import(pathToFileURL(find.resolve('oidc-provider')));

function settings(port) {
  const mount = env.OIDC_MOUNT ?? '';
  const seconds = (name, otherwise) => Number(env[`OIDC_${name}`] ?? otherwise);
  const access = seconds('ACCESS_TTL', 3600);
  return {
    issuer: env.OIDC_ISSUER ?? `https://127.0.0.1:${port}${mount}`,
    mount,
    people: new People(),
    secrets: {
      resourceServerSecret: env.OIDC_RESOURCE_SERVER_SECRET,
      workflowSecret: env.OIDC_WORKFLOW_SECRET,
    },
    form: env.OIDC_ACCESS_TOKENS ?? 'opaque',
    deviceInterval: seconds('DEVICE_INTERVAL', 1),
    ttl: {
      AccessToken: access,
      ClientCredentials: access,
      RefreshToken: seconds('REFRESH_TTL', 86400),
      AuthorizationCode: seconds('CODE_TTL', 60),
      DeviceCode: seconds('DEVICE_TTL', 600),
      IdToken: seconds('ID_TTL', 3600),
      Interaction: 3600,
      Session: 3600,
      Grant: 86400,
    },
  };
}

let setup;
let controls;

function answer(path, request, response) {
  const { provider, callback } = controls;
  const gone = (error) => {
    console.error(error);
    if (!response.headersSent) response.writeHead(400).end(`${error}\n`);
  };
  if (path.startsWith('/interaction/')) {
    interaction(provider, setup.people, request, response).catch(gone);
  } else if (path === '/v2/oauth2/token/introspect' && request.method === 'POST') {
    introspect(provider, setup, request, response).catch(gone);
  } else {
    callback(request, response);
  }
}

function serve(request, response) {
  const test = request.url.match(/^\/test\/([a-z-]+)$/);
  if (test) {
    controls.control(test[1], request, response);
    return;
  }
  const { mount } = setup;
  if (mount && request.url.startsWith(`${mount}/`)) {
    request.originalUrl = request.url; // by which the provider knows that it is mounted
    request.url = request.url.slice(mount.length);
  } else if (mount) {
    response.writeHead(404).end();
    return;
  }
  const [path] = request.url.split('?');
  controls.admit(path, response, () => answer(path, request, response));
}

const server = createServer(
  { key: readFileSync(env.OIDC_TLS_KEY), cert: readFileSync(env.OIDC_TLS_CERTIFICATE) },
  serve,
);
server.listen(Number(env.OIDC_PORT ?? 0), '127.0.0.1', () => {
  const { port } = server.address();
  setup = new Setup(settings(port));
  controls = new Controls(setup, library);
  console.log(`ready on https://127.0.0.1:${port}`);
});

const end = () => process.exit(0);
process.on('SIGTERM', end);
process.stdin.on('end', end).on('error', end).resume();
