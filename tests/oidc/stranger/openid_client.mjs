// npm openid-client, used as its documentation says. Reads its settings as one line of JSON, prints the address for the
// browser, reads the address that the browser came back to, prints what it learned.
import readline from 'node:readline';
import * as client from 'openid-client';

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const read = async () => (await lines.next()).value;
const print = (content) => console.log(JSON.stringify(content));

const settings = JSON.parse(await read());
const config = await client.discovery(new URL(settings.issuer), settings.client_id, settings.metadata, settings.secret
  ? client.ClientSecretBasic(settings.secret) : undefined);

const pkceCodeVerifier = client.randomPKCECodeVerifier();
const expectedState = client.randomState();
const expectedNonce = client.randomNonce();
const authorization = client.buildAuthorizationUrl(config, {
  redirect_uri: settings.redirect_uri,
  scope: 'openid email offline_access',
  code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
  code_challenge_method: 'S256',
  state: expectedState,
  nonce: expectedNonce,
});
print({ authorization: authorization.href });

try {
  const tokens = await client.authorizationCodeGrant(config, new URL(await read()), {
    pkceCodeVerifier, expectedState, expectedNonce, idTokenExpected: true,
  });
  const claims = tokens.claims();
  const info = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
  const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token);
  const again = await client.fetchUserInfo(config, refreshed.access_token, claims.sub);
  const introspected = await client.tokenIntrospection(config, refreshed.access_token);
  await client.tokenRevocation(config, refreshed.access_token);
  const revoked = await client.tokenIntrospection(config, refreshed.access_token);
  const logout = client.buildEndSessionUrl(config, {
    id_token_hint: refreshed.id_token, post_logout_redirect_uri: settings.post_logout_redirect_uri, state: 'bye',
  });
  print({ claims, info, again, active: [introspected.active, revoked.active], logout: logout.href });
} catch (error) {
  print({ error: error.code ?? error.name, cause: error.cause?.code ?? error.error ?? null });
}
process.exit(0);
