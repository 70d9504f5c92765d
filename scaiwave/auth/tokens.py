"""Verification of ScaiKey's access tokens (ScaiKey docs, concepts/tokens-and-scopes).

PyJWT checks the signature. Everything else is checked here, against a time that is passed in.
Each error has its own message, and no message repeats contents of the token.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from scaiwave.core.base64url import encode_base64url
from scaiwave.core.errors import ExpiredToken, InvalidToken, UpstreamInvalidResponse

KEY_TYPES = {"RS256": "RSA", "ES256": "EC"}
"""The algorithms that ScaiKey signs with, and their types of keys. Symmetric algorithms must never
be accepted: the public key would be the secret."""

MIN_RSA_BITS = 2048
"""Smaller keys are ignored."""

MAX_TOKEN_CHARS = 16 * 1024
"""A usual token has about 1,000."""

LEEWAY_SECONDS = 60.0
"""Allowed difference of clocks (ScaiKey docs, concepts/tokens-and-scopes)."""

ROLES_BY_RANK = ("super_admin", "partner_admin", "tenant_admin")
"""The administrative roles, highest first."""

TENANT_ISSUER_ROLES = ("tenant_admin",)
"""The roles that a tenant's own issuer can grant, in its tenant. assumption: a partner_admin signs
in at the platform's issuer, as a super_admin does; nothing is documented for them."""

ID_TOKEN_CLAIMS = {"nonce", "at_hash", "c_hash", "s_hash"}
"""What only ID tokens have. Each is optional, so a token without them proves nothing."""

ACCESS_TOKEN_TYPES = ("jwt", "at+jwt", "application/at+jwt")
"""What a header may name as type (RFC 9068, 2.1). ScaiKey documents none, so none is required."""

APPLICATION_SCOPES = ("GLOBAL", "PARTNER", "TENANT")
"""What an application may reach, widest first (ScaiKey docs, concepts/applications)."""

Payload = Mapping[str, object]
PublicKey = RSAPublicKey | EllipticCurvePublicKey
FetchJwks = Callable[[str | None], Payload]
"""Fetches the keys of the tenant with this id, or of the platform for None."""


@dataclass(frozen=True, kw_only=True)
class Claims:
    """The claims of a verified token. A text that the token lacks is empty.

    `role` is the highest of `ROLES_BY_RANK` among `roles` that the token's issuer can grant, or
    None. `issuing_tenant_id` names the tenant whose key signed it, and is empty for the platform. A
    token `by_client` credentials has scopes instead of roles; its `app_scope` is the scope of the
    application, one of `APPLICATION_SCOPES` or empty if the token does not say. `expires_at` is in
    Unix seconds.
    """

    subject: str
    role: str | None
    roles: tuple[str, ...]
    tenant_id: str
    partner_id: str
    issuing_tenant_id: str
    scopes: frozenset[str]
    by_client: bool
    app_scope: str
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
    leeway: float = LEEWAY_SECONDS,
) -> Claims:
    """Return the claims of a token that ScaiKey signed for this server and that is valid now.

    `issuer` is ScaiKey's base URL or an issuer below it, `audience` this server's client id.
    Raises InvalidToken, ExpiredToken, and what `fetch_jwks` raises.
    """
    header = _parse_header(token)
    if header.get("typ") is not None and str(header["typ"]).lower() not in ACCESS_TOKEN_TYPES:
        raise InvalidToken("The token is not an access token (typ).")
    payload, tenant_id = _verify_issuer(token, header, issuer, fetch_jwks)
    # Not every access token has an audience. With one, the client may be another application's.
    claim = payload.get("aud" if "aud" in payload else "client_id")
    if not audience or audience not in (claim if isinstance(claim, list) else [claim]):
        raise InvalidToken("The token was issued for another application (audience).")
    # An ID token goes through the browser, and could act for the person. An access token has a
    # scope or a client ID (ScaiKey docs, concepts/tokens-and-scopes).
    if ID_TOKEN_CLAIMS & payload.keys():
        raise InvalidToken("The token is an ID token, which only proves a sign-in.")
    if not _get_words(payload, "scope") and not _get_id(payload, "client_id"):
        raise InvalidToken("The token is not an access token: scope and client_id are missing.")
    _check_time(payload, time.time() if now is None else now, leeway)
    return _build_claims(payload, tenant_id or "")


def verify_id_token(
    token: str,
    *,
    issuer: str,
    client_id: str,
    nonce: str,
    access_token: str,
    fetch_jwks: FetchJwks,
    now: float | None = None,
    leeway: float = LEEWAY_SECONDS,
) -> Claims:
    """Return the claims of the ID token of a sign-in (OpenID Connect Core, 3.1.3.7).

    ScaiKey's platform must have signed it for this client alone, in answer to the request with this
    nonce, and together with the access token. Raises as `verify_token` does.
    """
    header = _parse_header(token)
    if str(header.get("typ", "JWT")).upper() != "JWT":
        raise InvalidToken("The token is not an ID token (typ).")
    payload, tenant_id = _verify_issuer(token, header, issuer, fetch_jwks)
    if tenant_id is not None:
        raise InvalidToken("The token was issued by a tenant. Sign-ins are at the platform.")
    _check_authorized_party(payload, client_id)
    _check_time(payload, time.time() if now is None else now, leeway)
    if _get_timestamp(payload, "iat") is None:
        raise InvalidToken("The token does not state when it was issued (iat).")
    if not nonce or payload.get("nonce") != nonce:
        raise InvalidToken("The token does not answer this sign-in (nonce).", is_wrong_nonce=True)
    # Both algorithms that are accepted use SHA-256.
    at_hash = encode_base64url(hashlib.sha256(access_token.encode()).digest()[:16])
    if payload.get("at_hash", "") not in ("", at_hash):
        raise InvalidToken("The token belongs to another access token (at_hash).")
    if not _get_id(payload, "sub"):
        raise InvalidToken("The token names no subject (sub).")
    return _build_claims(payload, "")


def _check_authorized_party(payload: Payload, client_id: str) -> None:
    """Accept a token whose only audience is this client.

    Other audiences would be able to send it here. Unlike access tokens, ID tokens
    have no claim `client_id`.
    """
    audience = payload.get("aud")
    if not client_id or audience not in (client_id, [client_id]):
        raise InvalidToken("The token was issued for another application (audience).")
    if payload.get("azp", client_id) != client_id:
        raise InvalidToken("The token was issued to another application (azp).")


def _verify_issuer(
    token: str, header: Payload, issuer: str, fetch_jwks: FetchJwks
) -> tuple[Payload, str | None]:
    """Return the claims with a verified signature, and the tenant that issued them, if one did."""
    unverified = _parse_payload(token)
    tenant_id = _get_issuing_tenant(unverified, issuer.rstrip("/").partition("/tenants/")[0])
    key = _select_key(header, fetch_jwks(tenant_id))
    if key is None:  # Keys are rotated, so an unknown one is fetched again.
        key = _select_key(header, fetch_jwks(tenant_id))
    if key is None:
        raise InvalidToken("The token is signed with a key that ScaiKey does not list.")
    return _verify_signature(token, key, str(header["alg"])), tenant_id


def _parse_header(token: str) -> Payload:
    if len(token) > MAX_TOKEN_CHARS:
        raise InvalidToken(f"The token is longer than {MAX_TOKEN_CHARS} characters.")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        raise InvalidToken("The token is malformed: it is not a signed JWT.") from None
    if not isinstance(header.get("alg"), str) or header["alg"] not in KEY_TYPES:
        raise InvalidToken("The token's algorithm is not RS256 or ES256.")
    if "crit" in header or header.get("b64") is False:
        raise InvalidToken("The token is malformed: its header demands extensions.")
    return header


def _parse_payload(token: str) -> Payload:
    """Return the unverified claims, which only select the keys to verify with."""
    try:
        payload: Payload = jwt.decode(token, options={"verify_signature": False})
        # JSON can name half of a surrogate pair, which no database or terminal takes.
        json.dumps(payload, ensure_ascii=False).encode()
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        raise InvalidToken("The token is malformed: its claims can't be read.") from None
    return payload


def get_unverified_issuer(token: str) -> str:
    """Return the base URL of the issuer that an unverified token names; '' if it names none."""
    issuer = _parse_payload(token).get("iss")
    return issuer.rstrip("/").partition("/tenants/")[0] if isinstance(issuer, str) else ""


def _get_issuing_tenant(payload: Payload, base: str) -> str | None:
    """Return the id of the tenant that issued the token, or None for the platform."""
    issuer = payload.get("iss")
    if not isinstance(issuer, str):
        raise InvalidToken("The token names no issuer.")
    issuer = issuer.rstrip("/")
    if issuer == base:
        return None
    tenant_id = _get_id(payload, "tenant_id")
    if tenant_id and issuer == f"{base}/tenants/{tenant_id}":
        return tenant_id
    raise InvalidToken(f"The token was not issued by {base}.")


def _select_key(header: Payload, jwks: Payload) -> PublicKey | None:
    """Return the key with the token's key id. Without an id, exactly one key must be usable."""
    listed = jwks.get("keys")
    if not isinstance(listed, list):
        raise UpstreamInvalidResponse(
            "ScaiKey returned an invalid list of keys (JWKS).",
            fix="Check that SCAIWAVE_SCAIKEY_URL is the address of ScaiKey.",
        )
    algorithm = str(header["alg"])
    usable = [entry for entry in listed if _is_usable(entry, algorithm)]
    if header.get("kid") is not None:
        usable = [entry for entry in usable if entry.get("kid") == header["kid"]]
    keys = [key for entry in usable if (key := _load_key(entry, algorithm)) is not None]
    return keys[0] if len(keys) == 1 else None


def _is_usable(entry: object, algorithm: str) -> bool:
    """Whether a listed key may verify signatures of this algorithm."""
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


def _load_key(entry: Payload, algorithm: str) -> PublicKey | None:
    """Return the key, or None if it is damaged, too small or on another curve."""
    names = ("kty", "n", "e", "crv", "x", "y")
    public = {name: entry[name] for name in names if name in entry}
    try:
        key = jwt.PyJWK(public, algorithm=algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if isinstance(key, RSAPublicKey):
        return key if key.key_size >= MIN_RSA_BITS else None
    if isinstance(key, EllipticCurvePublicKey) and key.curve.name == "secp256r1":
        return key
    return None


def _verify_signature(token: str, key: PublicKey, algorithm: str) -> Payload:
    options = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}
    options |= {"verify_iss": False, "verify_sub": False, "verify_jti": False}
    try:
        return jwt.decode(token, key, algorithms=[algorithm], options=options)  # type: ignore[arg-type]
    except jwt.InvalidSignatureError:
        problem = "The token's signature is invalid."
    except (jwt.InvalidTokenError, jwt.InvalidKeyError, ValueError):
        problem = "The token is malformed: its signature can't be checked."
    raise InvalidToken(problem)


def _check_time(payload: Payload, now: float, leeway: float) -> None:
    expires = _get_timestamp(payload, "exp")
    if expires is None:
        raise InvalidToken("The token has no expiry (exp).")
    if now >= expires + leeway:
        raise ExpiredToken("The token has expired.")
    for name in ("nbf", "iat"):
        begins = _get_timestamp(payload, name)
        if begins is not None and now < begins - leeway:
            raise InvalidToken(f"The token is not yet valid ({name}).")


def _get_timestamp(payload: Payload, name: str) -> float | None:
    value = payload.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
        raise InvalidToken(f"The token is malformed: its {name} is not a time.")
    return float(value)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # The integer is too large for a double.
        return False


def _build_claims(payload: Payload, issuing_tenant_id: str) -> Claims:
    # ScaiKey uses `role`.
    words = [word.lower() for name in ("role", "roles") for word in _get_words(payload, name)]
    roles = tuple(dict.fromkeys(words))
    ranks = TENANT_ISSUER_ROLES if issuing_tenant_id else ROLES_BY_RANK
    client_id = _get_id(payload, "client_id")
    subject = _get_id(payload, "sub") or client_id
    if not subject:
        raise InvalidToken("The token names no subject (sub).")
    by_client = _get_text(payload, "token_type") == "client_credentials"
    is_platform = payload.get("platform_token") is True
    return Claims(
        subject=subject,
        role=next((rank for rank in ranks if rank in roles), None),
        roles=roles,
        tenant_id=_get_id(payload, "tenant_id"),
        partner_id=_get_id(payload, "partner_id"),
        issuing_tenant_id=issuing_tenant_id,
        scopes=frozenset(_get_words(payload, "scope")),
        by_client=by_client or is_platform,
        app_scope=_get_text(payload, "app_scope").upper() or ("GLOBAL" if is_platform else ""),
        name=_get_text(payload, "name"),
        email=_get_text(payload, "email"),
        client_id=client_id,
        expires_at=_get_timestamp(payload, "exp") or 0.0,
    )


def _get_words(payload: Payload, name: str) -> list[str]:
    """Return the words of a claim that is one text of them, or a list."""
    value = payload.get(name)
    if value is None:
        return []
    if isinstance(value, str):
        return value.split()
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return [item.strip() for item in value if item.strip()]
    raise InvalidToken(f"The token is malformed: its {name} is not a text.")


def _get_id(payload: Payload, name: str) -> str:
    """Return an id, which may contain no control characters: a database refuses some of them."""
    value = _get_text(payload, name)
    if value and not value.isprintable():
        raise InvalidToken(f"The token is malformed: its {name} is not an ID.")
    return value


def _get_text(payload: Payload, name: str) -> str:
    value = payload.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidToken(f"The token is malformed: its {name} is not a text.")
    return value
