"""Signing keys, the JWKS, and tokens, valid ones and every invalid one that a test needs.

Each process generates its own keys and does not store them: tokens are short-lived, and clients
fetch new ones after a restart. Within one process the same seed has the same keys, which saves
tests the tenth of a second that generating an RSA key takes.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from scaiwave.core.base64url import encode_base64url

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
Claims = dict[str, Any]
FOREIGN_GENERATION = -1
MAX_CACHED_TOKENS = 1024
"""Verified tokens are cached, since a client sends the same one with each request."""


@functools.cache
def generate_private_key(seed: int, alg: str, generation: int) -> PrivateKey:
    if alg == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass(frozen=True, slots=True)
class SigningKey:
    kid: str
    alg: str
    private: PrivateKey
    jwk: dict[str, object]


def build_signing_key(seed: int, alg: str, generation: int) -> SigningKey:
    private = generate_private_key(seed, alg, generation)
    if isinstance(private, rsa.RSAPrivateKey):
        public = RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
    else:
        public = ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
    jwk: dict[str, object] = {
        name: public[name] for name in ("crv", "e", "kty", "n", "x", "y") if name in public
    }
    # The hash of the required members in lexical order (RFC 7638).
    kid = encode_base64url(hashlib.sha256(msgspec.json.encode(jwk, order="sorted")).digest())
    return SigningKey(kid, alg, private, {**jwk, "kid": kid, "use": "sig", "alg": alg})


class KeyRing:
    """The signing keys: the newest signs, all of them verify."""

    def __init__(self, *, seed: int, alg: str) -> None:
        self.seed = seed
        self.alg = alg
        self._generation = 0
        self._keys = [build_signing_key(seed, alg, 0)]
        self._verified: dict[str, Claims] = {}

    @property
    def current(self) -> SigningKey:
        return self._keys[-1]

    def rotate(self, *, keep_old: bool = True) -> SigningKey:
        """Sign with a new key from now on; without `keep_old` earlier tokens become invalid."""
        self._generation += 1
        new = build_signing_key(self.seed, self.alg, self._generation)
        self._keys = [*self._keys, new] if keep_old else [new]
        self._verified = {}
        return new

    def build_jwks(self) -> dict[str, Any]:
        return {"keys": [key.jwk for key in self._keys]}

    def foreign_key(self) -> PrivateKey:
        """Return a key that is in no JWKS."""
        return generate_private_key(self.seed, self.alg, FOREIGN_GENERATION)

    def get_public_pem(self) -> bytes:
        public = self.current.private.public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def verify(self, token: str, *, is_trusted_issuer: Callable[[str], bool]) -> Claims:
        """Return the token's claims if `is_trusted_issuer` accepts its issuer.

        There is no tolerance for clock drift: the same clock issued the token. Raises
        jwt.InvalidTokenError.
        """
        claims = self._verified.get(token)
        if claims is None:
            claims = self._decode(token)
            if len(self._verified) >= MAX_CACHED_TOKENS:
                self._verified = {}
            self._verified[token] = claims
        if claims["exp"] <= time.time():
            raise jwt.ExpiredSignatureError("Signature has expired")
        if not is_trusted_issuer(claims["iss"]):
            raise jwt.InvalidIssuerError("Invalid issuer")
        return claims

    def decode_expired(self, token: str) -> Claims:
        """Return the claims of a token that may have expired. Raises jwt.InvalidTokenError."""
        return self._decode(token, verify_exp=False)

    def _decode(self, token: str, **checks: bool) -> Claims:
        kid = jwt.get_unverified_header(token).get("kid")
        for key in self._keys:
            if key.kid == kid:
                public = key.private.public_key()
                required = ["exp", "iss", "sub"]
                options: Any = {"verify_aud": False, "require": required, **checks}
                return jwt.decode(token, public, algorithms=[key.alg], options=options)
        raise jwt.InvalidTokenError("Unknown key ID")

    def sign(self, claims: Claims) -> str:
        """Return a valid token with these claims."""
        return self.forge_token(claims, key=None, alg=None, kid=None, headers=None)

    def forge_token(
        self,
        claims: Claims,
        *,
        key: PrivateKey | bytes | None,
        alg: str | None,
        kid: str | None,
        headers: dict[str, object] | None,
    ) -> str:
        """Return a token with any claims and headers, also such as PyJWT refuses to issue.

        `alg` "none" leaves the signature empty; "HS256" signs with `key` as bytes, by default the
        public key's PEM (an algorithm confusion attack).
        """
        alg = alg or self.alg
        header = {"alg": alg, "typ": "JWT", "kid": kid or self.current.kid, **(headers or {})}
        present = {name: value for name, value in header.items() if value is not None}
        parts = (msgspec.json.encode(part) for part in (present, claims))
        message = ".".join(map(encode_base64url, parts))
        if alg.lower() == "none":
            signature = b""
        elif alg == "HS256":
            secret = key if isinstance(key, bytes) else self.get_public_pem()
            signature = hmac.digest(secret, message.encode(), "sha256")
        else:
            algorithm = jwt.get_algorithm_by_name(alg)
            signature = algorithm.sign(message.encode(), key or self.current.private)
        return f"{message}.{encode_base64url(signature)}"
