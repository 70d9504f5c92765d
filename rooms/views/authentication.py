from __future__ import annotations

from django.http import HttpRequest

from scaiwave.auth.bearer import authenticate_bearer, get_client_address
from tenants.accounts.callers import Caller, get_caller


def authenticate(request: HttpRequest) -> Caller:
    """Return the participant who sent the request.

    Raises what `authenticate_bearer` and `get_caller` raise.
    """
    return get_caller(authenticate_bearer(request), origin=get_client_address(request))
