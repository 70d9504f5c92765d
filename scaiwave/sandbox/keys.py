"""Signing keys, the JWKS, and tokens: good ones, and every bad one a test may want.

Keys are made afresh by each process and kept nowhere: tokens are short-lived and clients fetch
them again after a restart. Within one process the same seed has the same keys, which spares
tests the tenth of a second that an RSA key costs.
"""

from __future__ import annotations

import base64
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

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
Claims = dict[str, Any]
FOREIGN = -1
# Verified tokens are remembered, since a client sends the same one with each of its requests.
REMEMBERED = 1024


@functools.cache
def private_key(seed: int, alg: str, generation: int) -> PrivateKey:
    if alg == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass(frozen=True, slots=True)
class SigningKey:
    kid: str
    alg: str
    private: PrivateKey
    jwk: dict[str, Any]


def signing_key(seed: int, alg: str, generation: int) -> SigningKey:
    private = private_key(seed, alg, generation)
    jwk = _jwk(private)
    kid = _thumbprint(jwk)
    return SigningKey(kid, alg, private, {**jwk, "kid": kid, "use": "sig", "alg": alg})


def _jwk(private: PrivateKey) -> dict[str, Any]:
    if isinstance(private, rsa.RSAPrivateKey):
        jwk = RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
    else:
        jwk = ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
    return {name: jwk[name] for name in ("crv", "e", "kty", "n", "x", "y") if name in jwk}


def _thumbprint(jwk: dict[str, Any]) -> str:
    """RFC 7638: the hash of the required members in lexical order."""
    return _b64(hashlib.sha256(msgspec.json.encode(jwk, order="sorted")).digest())


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class KeyRing:
    """The newest key signs, all of them verify."""

    def __init__(self, *, seed: int, alg: str) -> None:
        self.seed = seed
        self.alg = alg
        self._generation = 0
        self._keys = [signing_key(seed, alg, 0)]
        self._verified: dict[str, Claims] = {}

    @property
    def current(self) -> SigningKey:
        return self._keys[-1]

    def rotate(self, *, keep_old: bool = True) -> SigningKey:
        """Sign with a new key from now on; without `keep_old` older tokens are void at once."""
        self._generation += 1
        new = signing_key(self.seed, self.alg, self._generation)
        self._keys = [*self._keys, new] if keep_old else [new]
        self._verified = {}
        return new

    def jwks(self) -> dict[str, Any]:
        return {"keys": [key.jwk for key in self._keys]}

    def foreign(self) -> PrivateKey:
        """A key that is in no JWKS."""
        return private_key(self.seed, self.alg, FOREIGN)

    def public_pem(self) -> bytes:
        public = self.current.private.public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def verify(self, token: str, *, trusts: Callable[[str], bool]) -> Claims:
        """The claims of a token of ours, whose issuer `trusts` accepts. Raises InvalidTokenError.

        There is no tolerance for the clock: it is the one the token was made with.
        """
        claims = self._verified.get(token)
        if claims is None:
            claims = self._decode(token)
            if len(self._verified) >= REMEMBERED:
                self._verified = {}
            self._verified[token] = claims
        if claims["exp"] <= time.time():
            raise jwt.ExpiredSignatureError("Signature has expired")
        if not trusts(claims["iss"]):
            raise jwt.InvalidIssuerError("Invalid issuer")
        return claims

    def _decode(self, token: str) -> Claims:
        kid = jwt.get_unverified_header(token).get("kid")
        for key in self._keys:
            if key.kid == kid:
                public = key.private.public_key()
                options: Any = {"verify_aud": False, "require": ["exp", "iss", "sub"]}
                return jwt.decode(token, public, algorithms=[key.alg], options=options)
        raise jwt.InvalidTokenError("Unknown key id")

    def craft(
        self,
        claims: Claims,
        *,
        key: PrivateKey | bytes | None,
        alg: str | None,
        kid: str | None,
        headers: dict[str, Any] | None,
    ) -> str:
        """Any token at all, signed by hand, since PyJWT rightly refuses to make the bad ones.

        `alg` "none" leaves the signature empty; "HS256" signs with `key` as bytes, by default
        our public key's PEM, which is the classic confusion of algorithms.
        """
        alg = alg or self.alg
        header = {"alg": alg, "typ": "JWT", "kid": kid or self.current.kid, **(headers or {})}
        present = {name: value for name, value in header.items() if value is not None}
        message = f"{_b64(msgspec.json.encode(present))}.{_b64(msgspec.json.encode(claims))}"
        return f"{message}.{_b64(self._signature(message.encode(), key, alg))}"

    def _signature(self, message: bytes, key: PrivateKey | bytes | None, alg: str) -> bytes:
        if alg.lower() == "none":
            return b""
        if alg == "HS256":
            secret = key if isinstance(key, bytes) else self.public_pem()
            return hmac.digest(secret, message, "sha256")
        return jwt.get_algorithm_by_name(alg).sign(message, key or self.current.private)
