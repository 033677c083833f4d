"""Verifies a signed assertion, as an application in Python does, with PyJWT (2.6 or newer)
and its extra "crypto":

    python3 verify.py JWKS-URL ISSUER AUDIENCE TOKEN

It prints the user's ID. If the assertion is not valid, it prints the reason and exits with 1.
"""
import sys

import jwt


def verify(token, keys, issuer, audience):
    """The function to copy. keys is one jwt.PyJWKClient(JWKS-URL) for the whole process. It
    caches the key set, and fetches it again if a token names an unknown key."""
    key = keys.get_signing_key_from_jwt(token).key
    return jwt.decode(token, key, algorithms=["EdDSA"], issuer=issuer, audience=audience, leeway=5,
                      options={"require": ["exp", "iat", "iss", "aud", "sub"]})


if __name__ == "__main__":
    jwks, issuer, audience, token = sys.argv[1:]
    try:
        print(verify(token, jwt.PyJWKClient(jwks), issuer, audience)["sub"])
    except jwt.PyJWTError as err:
        sys.exit(str(err))
