// Verifies a signed assertion, as an application in Node (18 or newer) does, with
// node:crypto only:
//
//   node verify.mjs JWKS-URL ISSUER AUDIENCE TOKEN
//
// It prints the user's ID. If the assertion is not valid, it prints the reason and exits
// with 1.
import { createPublicKey, verify as verifySignature } from 'node:crypto'

// verify is the function to copy. keys is the answer of the JWKS-URL. Fetch it again
// every hour, and if a token names an unknown key.
export function verify (token, keys, issuer, audience) {
  const [head, body, signature, ...more] = token.split('.')
  const part = (s) => JSON.parse(Buffer.from(s, 'base64url'))
  const { alg, kid } = part(head)
  const jwk = keys.find((k) => k.kid === kid && k.kty === 'OKP' && k.crv === 'Ed25519')
  if (alg !== 'EdDSA' || !jwk || more.length) throw new Error('another algorithm or an unknown key')
  const key = createPublicKey({ key: jwk, format: 'jwk' })
  if (!verifySignature(null, Buffer.from(`${head}.${body}`), key, Buffer.from(signature, 'base64url'))) throw new Error('the signature is wrong')
  const claims = part(body)
  const now = Date.now() / 1000
  if (claims.iss !== issuer || ![claims.aud].flat().includes(audience)) throw new Error('it is for somebody else')
  if (!(claims.exp > now - 5) || !(claims.iat < now + 5) || !claims.sub) throw new Error('it does not count now')
  return claims
}

const [jwks, issuer, audience, token] = process.argv.slice(2)
try {
  const { keys } = await (await fetch(jwks)).json()
  console.log(verify(token, keys, issuer, audience).sub)
} catch (err) {
  console.error(err.message)
  process.exit(1)
}
