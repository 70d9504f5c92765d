"""The path of the sign-in backend that sessions store: another would sign everyone out."""

from tenants.accounts.oidc.backend import ScaiKeyBackend

__all__ = ["ScaiKeyBackend"]
