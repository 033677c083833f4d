// node keys.mjs: makes a key pair for a tokenizer template, into two files:
//   notes.private.jwks.json   only for Kratos (jwks_url)
//   notes.jwks.json           the public key, for every program that verifies tokens (auth.jwt.jwks)
import { createHash, generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";

const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const { kty, crv, x, y } = publicKey.export({ format: "jwk" });
const kid = createHash("sha256").update(JSON.stringify({ crv, kty, x, y })).digest("base64url"); // RFC 7638
const half = (jwk) => JSON.stringify({ keys: [{ ...jwk, kid, alg: "ES256", use: "sig" }] }, null, 2) + "\n";

writeFileSync("notes.private.jwks.json", half(privateKey.export({ format: "jwk" })), { mode: 0o600, flag: "wx" });
writeFileSync("notes.jwks.json", half({ kty, crv, x, y }), { flag: "wx" });
