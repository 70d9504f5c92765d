from __future__ import annotations

from django.http import HttpRequest

from scaiwave.auth.bearer import authenticate_bearer, client_address
from tenants.queries.callers import Caller, get_caller


def caller(request: HttpRequest) -> Caller:
    """Raises what makes the request one of nobody's: see `authenticate_bearer` and `get_caller`."""
    return get_caller(authenticate_bearer(request), origin=client_address(request))
