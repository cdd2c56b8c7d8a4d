// node-oidc-provider in memory, with its own pages for development; prints a line when it listens. Arguments: issuer, secret.
import { generateKeyPairSync } from 'node:crypto';
import Provider from 'oidc-provider';

const [issuer, secret] = process.argv.slice(2);
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const provider = new Provider(issuer, {
  clients: [{
    client_id: 'shop',
    client_secret: secret,
    redirect_uris: ['https://shop.example/callback'],
    id_token_signed_response_alg: 'ES256',
  }],
  clientDefaults: { id_token_signed_response_alg: 'ES256' },
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig', kid: 'bench' }] },
  cookies: { keys: [secret] },
  pkce: { required: () => true },
  claims: { openid: ['sub'], email: ['email', 'email_verified'] },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: `${id}@people.example`, email_verified: true }),
  }),
  features: { devInteractions: { enabled: true } },
});
provider.listen(Number(new URL(issuer).port), '127.0.0.1', () => console.log('listening'));
