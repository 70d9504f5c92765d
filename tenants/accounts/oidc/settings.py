"""The settings of mozilla-django-oidc, which come from this suite's own."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from scaiwave.web.scaikey_sign_in import endpoint_cache

SCOPES = "openid profile email"

FIXED_SETTINGS: dict[str, Any] = {
    "OIDC_AUTHENTICATION_CALLBACK_URL": "oidc_callback",
    "OIDC_NONCE_SIZE": 43,
    "OIDC_PKCE_CODE_CHALLENGE_METHOD": "S256",
    "OIDC_PKCE_CODE_VERIFIER_SIZE": 64,
    "OIDC_RP_SCOPES": SCOPES,
    # Only decides which attributes the library asks for: the token is verified elsewhere.
    "OIDC_RP_SIGN_ALGO": "RS256",
    "OIDC_STATE_SIZE": 43,
    "OIDC_STORE_ACCESS_TOKEN": False,
    "OIDC_STORE_ID_TOKEN": False,
    "OIDC_USE_NONCE": True,
    "OIDC_USE_PKCE": True,
}


def get_oidc_setting(name: str, *default: Any) -> Any:
    """Return a setting as the library asks for it. Raises what fetching the endpoints raises."""
    match name:
        case "OIDC_RP_CLIENT_ID":
            return settings.CONFIG.get_str("SCAIWAVE_SCAIKEY_CLIENT_ID")
        case "OIDC_RP_CLIENT_SECRET":
            return settings.CONFIG.get_str("SCAIWAVE_SCAIKEY_CLIENT_SECRET")
        case "OIDC_OP_AUTHORIZATION_ENDPOINT":
            return endpoint_cache.get(settings.CONFIG).authorization
        case "OIDC_OP_TOKEN_ENDPOINT":
            return endpoint_cache.get(settings.CONFIG).token
        case "OIDC_OP_USER_ENDPOINT":
            return endpoint_cache.get(settings.CONFIG).userinfo
        case "OIDC_OP_JWKS_ENDPOINT":
            return ""  # Keys are fetched, and cached, as for the HTTP API.
    return FIXED_SETTINGS.get(name, *default)
