"""The path of the sign-in backend by which sessions name it: another would sign everyone out."""

from tenants.accounts.oidc.backend import ScaiKeyBackend

__all__ = ["ScaiKeyBackend"]
