from __future__ import annotations

from django.http import HttpRequest

from scaiwave.auth.bearer import bearer_claims, client_address
from tenants.queries.callers import Caller, caller_of


def caller(request: HttpRequest) -> Caller:
    """Raises what makes the request one of nobody's: see `bearer_claims` and `caller_of`."""
    return caller_of(bearer_claims(request), origin=client_address(request))
