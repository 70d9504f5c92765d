"""Verifies ScaiKey's access tokens (ScaiKey docs, concepts/tokens-and-scopes).

PyJWT checks the signature. Everything else is checked here, against a time that is passed in
and with one precise sentence for each refusal; no sentence repeats what the token holds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from scaiwave.errors import ExpiredToken, InvalidToken, UpstreamInvalidResponse

KEY_TYPES = {"RS256": "RSA", "ES256": "EC"}
"""The algorithms that ScaiKey signs with. Nothing else is accepted, least of all a symmetric
one, for which the public key would be the secret."""

SMALLEST_RSA = 2048
"""Bits. Smaller keys are passed over as if they were not listed."""

LONGEST_TOKEN = 16 * 1024
"""Characters. A token of ours has about 1,000."""

LEEWAY = 60.0
"""Seconds that clocks may differ (ScaiKey docs, concepts/tokens-and-scopes)."""

RANKS = ("super_admin", "partner_admin", "tenant_admin")
"""The roles that administer, highest first."""

FetchJwks = Callable[[str | None], Mapping[str, Any]]
"""The keys of the tenant with this id, or of the platform for None."""


@dataclass(frozen=True, kw_only=True)
class Claims:
    """What a verified token says. Texts are empty where it says nothing.

    `role` is the highest of `RANKS` among `roles`, or None. `platform` marks a token by client
    credentials, which has scopes in place of roles. `expires_at` is in Unix seconds.
    """

    subject: str
    role: str | None
    roles: tuple[str, ...]
    tenant_id: str
    partner_id: str
    scopes: frozenset[str]
    platform: bool
    name: str
    email: str
    client_id: str
    expires_at: float


def verify_token(
    token: str,
    *,
    issuer: str,
    audience: str,
    fetch_jwks: FetchJwks,
    now: float | None = None,
    leeway: float = LEEWAY,
) -> Claims:
    """Return the claims of a token that ScaiKey signed for us and that is valid now.

    `issuer` is ScaiKey's base URL or an issuer below it, `audience` our client id. Raises
    InvalidToken, ExpiredToken, and whatever `fetch_jwks` raises: a ScaiKey that can't be reached
    is not the token's fault.
    """
    header = _header(token)
    unverified = _payload(token)
    tenant_id = _issuing_tenant(unverified, issuer.rstrip("/").partition("/tenants/")[0])
    key = _key(header, lambda: fetch_jwks(tenant_id))
    payload = _verified(token, key, header["alg"])
    _check_audience(payload, audience)
    _check_time(payload, time.time() if now is None else now, leeway)
    return _claims(payload)


def _header(token: str) -> dict[str, Any]:
    if len(token) > LONGEST_TOKEN:
        raise InvalidToken(f"The token is longer than {LONGEST_TOKEN} characters.")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        raise InvalidToken("The token is malformed: it is not a signed JWT.") from None
    if header.get("alg") not in KEY_TYPES:
        raise InvalidToken("The token's algorithm is neither RS256 nor ES256.")
    if "crit" in header or header.get("b64") is False:
        raise InvalidToken("The token is malformed: its header demands extensions.")
    return header


def _payload(token: str) -> dict[str, Any]:
    """Only to choose the keys by; nothing of it is believed before the signature is checked."""
    try:
        return jwt.decode(token, options={"verify_signature": False})
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        raise InvalidToken("The token is malformed: its claims can't be read.") from None


def _issuing_tenant(payload: Mapping[str, Any], base: str) -> str | None:
    """None if the platform issued it, else the tenant that did, which must be the token's own."""
    told = payload.get("iss")
    if not isinstance(told, str):
        raise InvalidToken("The token names no issuer.")
    told = told.rstrip("/")
    if told == base:
        return None
    tenant_id = payload.get("tenant_id")
    if isinstance(tenant_id, str) and tenant_id and told == f"{base}/tenants/{tenant_id}":
        return tenant_id
    raise InvalidToken(f"The token was not issued by {base}.")


def _key(header: Mapping[str, Any], fetch: Callable[[], Mapping[str, Any]]) -> Any:
    """The public key to verify with; keys are rotated, so an unknown one is looked up twice."""
    key = _find(header, fetch())
    if key is None:
        key = _find(header, fetch())
    if key is None:
        raise InvalidToken("The token is signed with a key that ScaiKey does not list.")
    return key


def _find(header: Mapping[str, Any], jwks: Mapping[str, Any]) -> Any:
    """A key fits by its id; a token without a key id needs exactly one key that could be it."""
    listed = jwks.get("keys")
    if not isinstance(listed, list):
        raise UpstreamInvalidResponse(
            "ScaiKey's list of keys (JWKS) can't be read.",
            fix="Check that SCAIWAVE_SCAIKEY_URL is the address of ScaiKey.",
        )
    fitting = [entry for entry in listed if _fits(entry, header["alg"])]
    if header.get("kid") is not None:
        fitting = [entry for entry in fitting if entry.get("kid") == header["kid"]]
    keys = [key for entry in fitting if (key := _loaded(entry, header["alg"])) is not None]
    return keys[0] if len(keys) == 1 else None


def _fits(entry: object, algorithm: str) -> bool:
    """Whether a listed key may verify signatures by this algorithm."""
    if not isinstance(entry, dict):
        return False
    operations = entry.get("key_ops", ["verify"])
    return (
        entry.get("kty") == KEY_TYPES[algorithm]
        and entry.get("use", "sig") == "sig"
        and entry.get("alg", algorithm) == algorithm
        and isinstance(operations, list)
        and "verify" in operations
    )


def _loaded(entry: dict[str, Any], algorithm: str) -> Any:
    """The key itself; None for one that is damaged, too small or on another curve."""
    public: dict[str, Any] = {
        name: entry[name] for name in ("kty", "n", "e", "crv", "x", "y") if name in entry
    }
    try:
        key = jwt.PyJWK(public, algorithm=algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if isinstance(key, RSAPublicKey):
        return key if key.key_size >= SMALLEST_RSA else None
    fits = isinstance(key, EllipticCurvePublicKey) and key.curve.name == "secp256r1"
    return key if fits else None


def _verified(token: str, key: Any, algorithm: str) -> dict[str, Any]:
    ours = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}
    ours |= {"verify_iss": False, "verify_sub": False, "verify_jti": False}
    try:
        return jwt.decode(token, key, algorithms=[algorithm], options=ours)  # type: ignore[arg-type]
    except jwt.InvalidSignatureError:
        problem = "The token's signature is wrong."
    except (jwt.InvalidTokenError, jwt.InvalidKeyError, ValueError):
        problem = "The token is malformed: its signature can't be checked."
    raise InvalidToken(problem)


def _check_audience(payload: Mapping[str, Any], audience: str) -> None:
    """A token made for another application must not administer this one."""
    told = payload.get("aud")
    audiences = told if isinstance(told, list) else [told]
    if not audience or audience not in [*audiences, payload.get("client_id")]:
        raise InvalidToken("The token was made for another application (audience).")


def _check_time(payload: Mapping[str, Any], now: float, leeway: float) -> None:
    expires = _moment(payload, "exp")
    if expires is None:
        raise InvalidToken("The token has no end (exp).")
    if now >= expires + leeway:
        raise ExpiredToken("The token has expired.")
    for name in ("nbf", "iat"):
        begins = _moment(payload, name)
        if begins is not None and now < begins - leeway:
            raise InvalidToken(f"The token is not yet valid ({name}).")


def _moment(payload: Mapping[str, Any], name: str) -> float | None:
    value = payload.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
        raise InvalidToken(f"The token is malformed: its {name} is not a time.")
    return float(value)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # An integer beyond what a double holds.
        return False


def _claims(payload: Mapping[str, Any]) -> Claims:
    roles = tuple(dict.fromkeys(_roles(payload)))
    client_id = _text(payload, "client_id")
    subject = _text(payload, "sub") or client_id
    if not subject:
        raise InvalidToken("The token names no subject (sub).")
    return Claims(
        subject=subject,
        role=next((rank for rank in RANKS if rank in roles), None),
        roles=roles,
        tenant_id=_text(payload, "tenant_id"),
        partner_id=_text(payload, "partner_id"),
        scopes=frozenset(_words(payload, "scope")),
        platform=_is_platform(payload),
        name=_text(payload, "name"),
        email=_text(payload, "email"),
        client_id=client_id,
        expires_at=float(payload["exp"]),
    )


def _is_platform(payload: Mapping[str, Any]) -> bool:
    """A token by client credentials speaks for the platform only if its application is GLOBAL;
    that of a PARTNER or TENANT application reaches no farther than its role."""
    by_client = _text(payload, "token_type") == "client_credentials"
    reach = _text(payload, "app_scope").upper()
    return (payload.get("platform_token") is True or by_client) and reach in {"", "GLOBAL"}


def _roles(payload: Mapping[str, Any]) -> list[str]:
    """`role` and the plural `roles`, of which ScaiKey uses the first, in lower case."""
    return [role.lower() for name in ("role", "roles") for role in _words(payload, name)]


def _words(payload: Mapping[str, Any], name: str) -> list[str]:
    """A claim that is one text of words, or a list of them."""
    value = payload.get(name)
    if value is None:
        return []
    if isinstance(value, str):
        return value.split()
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return [item.strip() for item in value if item.strip()]
    raise InvalidToken(f"The token is malformed: its {name} is not a text.")


def _text(payload: Mapping[str, Any], name: str) -> str:
    value = payload.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidToken(f"The token is malformed: its {name} is not a text.")
    return value
