"""Verifies a signed assertion as an application in Python does (PyJWT with its extra
"crypto", 2.6 or newer):

    python3 verify.py JWKS-URL ISSUER AUDIENCE TOKEN

It prints the user's ID, or says why not and exits with 1.
"""
import sys

import jwt


def verify(token, keys, issuer, audience):
    """What to copy. keys is one jwt.PyJWKClient(JWKS-URL) for the whole process: it
    fetches the set, keeps it, and fetches it again for a key that it does not know."""
    key = keys.get_signing_key_from_jwt(token).key
    return jwt.decode(token, key, algorithms=["EdDSA"], issuer=issuer, audience=audience, leeway=5,
                      options={"require": ["exp", "iat", "iss", "aud", "sub"]})


if __name__ == "__main__":
    jwks, issuer, audience, token = sys.argv[1:]
    try:
        print(verify(token, jwt.PyJWKClient(jwks), issuer, audience)["sub"])
    except jwt.PyJWTError as err:
        sys.exit(str(err))
