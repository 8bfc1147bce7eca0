// A real OpenID provider on loopback, for the story of signing in. It is told by a file of JSON where to
// listen and which client there is; whoever asks is the account that the header `x-account` names, so that
// nobody has to fill in a form.
import { readFileSync } from 'node:fs';
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const { port, client, secret, callback } = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const issuer = `http://127.0.0.1:${port}`;

// Names and addresses as providers tell them; the subject is the account's own and never given away.
const accounts = {
  anna: { email: 'Anna@district.example', email_verified: true, groups: ['staff', 'lincoln-desk'] },
  ben: { email: 'ben@elsewhere.example', email_verified: true, groups: [] },
  carla: { email: 'carla@district.example', email_verified: false },
  dora: { email: 'dora@district.example', email_verified: true },
  impostor: { email: 'anna@district.example', email_verified: true, groups: ['lincoln-desk'] },
};

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const provider = new Provider(issuer, {
  clients: [{ client_id: client, client_secret: secret, redirect_uris: [callback] }],
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: 'k1', use: 'sig', alg: 'RS256' }] },
  cookies: { keys: ['only for this story'] },
  // As Google and Entra ID do it: what was asked for stands in the ID token.
  conformIdTokenClaims: false,
  claims: { openid: ['sub'], email: ['email', 'email_verified'], groups: ['groups'] },
  scopes: ['openid', 'email', 'groups'],
  pkce: { required: () => true },
  features: { devInteractions: { enabled: false } },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...accounts[id] }) }),
});

provider.on('server_error', (_, error) => console.error(error));

async function interact(request, response) {
  const { prompt, params, session } = await provider.interactionDetails(request, response);
  const account = request.headers['x-account'];
  let result;
  if (account === 'nobody') {
    result = { error: 'access_denied', error_description: 'the account may not use this application' };
  } else if (prompt.name === 'login') {
    result = { login: { accountId: account } };
  } else {
    const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    grant.addOIDCScope(params.scope);
    result = { consent: { grantId: await grant.save() } };
  }
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
}

const answer = provider.callback();
const server = createServer((request, response) => {
  if (!request.url.startsWith('/interaction/')) return answer(request, response);
  return interact(request, response).catch((error) => {
    response.statusCode = 500;
    response.end(String(error));
  });
});
server.listen(port, '127.0.0.1', () => console.log(`${issuer} is ready`));
