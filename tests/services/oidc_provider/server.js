// Serves OpenID Connect issuers, each on a port of its own, as tests ask for them:
//
//   POST /          start an issuer with the settings in the body; returns {"url": …}
//   PUT /<port>     change its settings, for example rotate its keys
//   GET /<port>     return the number of requests for each path
//   DELETE /<port>  stop it
//
// Everything that an issuer answers comes from oidc-provider. Only its paths are those of ScaiKey.
// Settings:
//
//   jwks           private keys; the first signs
//   clients        the metadata of clients
//   accounts       claims of people by their subject; anyone of them signs in with any password
//   token_claims   further claims of the tokens of client credentials
//   lifetime       of all tokens, in seconds

import http from 'node:http';

import Provider from 'oidc-provider';

const HOST = '127.0.0.1';
const PLATFORM = '/api/v1/platform';
const DISCOVERY = `${PLATFORM}/oauth/.well-known/openid-configuration`;
const ROUTES = {
  authorization: `${PLATFORM}/oauth/authorize`,
  end_session: `${PLATFORM}/oauth/logout`,
  jwks: `${PLATFORM}/.well-known/jwks.json`,
  token: `${PLATFORM}/oauth/token`,
  userinfo: `${PLATFORM}/oauth/userinfo`,
};
const API_SCOPES = ['admin:read', 'admin:write'];
const issuers = new Map();

function buildProvider(url, settings) {
  const { jwks, clients, accounts = {}, token_claims: tokenClaims = {}, lifetime = 3600 } = settings;
  const algorithm = jwks.keys[0].alg;
  const provider = new Provider(url, {
    jwks,
    clients,
    routes: ROUTES,
    scopes: ['openid', ...API_SCOPES],
    claims: {
      openid: ['sub', 'role', 'tenant_id', 'partner_id'],
      profile: ['name', 'given_name', 'family_name', 'picture'],
      email: ['email', 'email_verified'],
    },
    clientAuthMethods: ['client_secret_basic'],
    responseTypes: ['code'],
    allowOmittingSingleRegisteredRedirectUri: false,
    rotateRefreshToken: true,
    pkce: { required: () => true, methods: ['S256'] },
    // The role is in the ID token, since the access token of a sign-in is opaque.
    conformIdTokenClaims: false,
    clientDefaults: { id_token_signed_response_alg: algorithm },
    enabledJWA: { idTokenSigningAlgValues: [algorithm] },
    findAccount: (ctx, sub) => accounts[sub] && {
      accountId: sub,
      claims: () => ({ sub, ...accounts[sub] }),
    },
    issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
    extraTokenClaims: (ctx, token) => (token.kind === 'ClientCredentials' ? tokenClaims : undefined),
    cookies: { keys: ['of a test'] },
    ttl: {
      AccessToken: lifetime,
      AuthorizationCode: 60,
      ClientCredentials: lifetime,
      Grant: 3600,
      IdToken: lifetime,
      Interaction: 3600,
      RefreshToken: 3600,
      Session: 3600,
    },
    features: {
      // Tokens of client credentials are JWTs for the API, as those of ScaiKey are.
      resourceIndicators: {
        enabled: true,
        defaultResource: (ctx) => (
          ctx.oidc.params?.grant_type === 'client_credentials' ? `${url}/api` : undefined
        ),
        getResourceServerInfo: (ctx, resource, client) => ({
          scope: API_SCOPES.join(' '),
          audience: client.clientId,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: algorithm } },
        }),
      },
      clientCredentials: { enabled: true },
      pushedAuthorizationRequests: { enabled: false },
    },
  });
  return provider.callback();
}

function startIssuer(settings) {
  const issuer = { requests: {} };
  issuer.server = http.createServer((request, response) => {
    const [path, query] = request.url.split('?');
    issuer.requests[path] = (issuer.requests[path] ?? 0) + 1;
    if (path === DISCOVERY) {
      request.url = '/.well-known/openid-configuration' + (query ? `?${query}` : '');
    }
    issuer.handle(request, response);
  });
  return new Promise((resolve, reject) => {
    issuer.server.on('error', reject);
    issuer.server.listen(0, HOST, () => {
      const { port } = issuer.server.address();
      issuer.url = `http://${HOST}:${port}`;
      issuer.handle = buildProvider(issuer.url, settings);
      issuers.set(String(port), issuer);
      resolve(issuer);
    });
  });
}

async function answer(request, body) {
  const port = request.url.slice(1);
  if (request.method === 'POST' && !port) {
    return { url: (await startIssuer(JSON.parse(body))).url };
  }
  const issuer = issuers.get(port);
  if (!issuer) return undefined;
  switch (request.method) {
    case 'GET':
      return issuer.requests;
    case 'PUT':
      issuer.handle = buildProvider(issuer.url, JSON.parse(body));
      return {};
    case 'DELETE':
      issuers.delete(port);
      issuer.server.close();
      issuer.server.closeAllConnections();
      return {};
    default:
      return undefined;
  }
}

const control = http.createServer(async (request, response) => {
  let body = '';
  for await (const chunk of request) body += chunk;
  let status = 200;
  let found;
  try {
    found = await answer(request, body);
    if (found === undefined) status = 404;
  } catch (error) {
    console.error(error);
    status = 500;
    found = { error: String(error.message) };
  }
  response.writeHead(status, { 'Content-Type': 'application/json' });
  response.end(JSON.stringify(found ?? {}));
});

control.listen(Number(process.argv[2]), HOST);
