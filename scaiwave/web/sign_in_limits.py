"""Functions for django-axes: the address to count by, and the response to a locked sign-in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.crypto import salted_hmac

from scaiwave.auth.bearer import get_client_address


def find_client_address(request: HttpRequest) -> str | None:
    """Return the address that counts, as `get_client_address` finds it.

    For IPv6 it is the client's network (/64): the client can use any address in it.
    """
    try:
        address = ip_address(get_client_address(request))
    except ValueError:  # such as none, of a client at a socket
        return None
    if isinstance(address, IPv4Address):
        return str(address)
    return str(address.ipv4_mapped or IPv6Address(int(address) >> 64 << 64))


def get_account_key(request: HttpRequest, credentials: Mapping[str, str] | None) -> str:
    """Return what stands for the name in the table of failures.

    The name itself is not stored: people type their password there by mistake.
    """
    username = (credentials or request.POST).get("username") or ""
    return salted_hmac("scaiwave.web.sign_in_limits", username, algorithm="sha256").hexdigest()


def respond_locked(
    request: HttpRequest, original_response: HttpResponse, credentials: Mapping[str, str] | None
) -> HttpResponse:
    """Respond 429. It is the same for accounts that don't exist."""
    lock_time: timedelta = settings.AXES_COOLOFF_TIME
    context = {"minutes": lock_time // timedelta(minutes=1)}
    response = render(request, "scaiwave/admin/locked.html", context, status=429)
    response["Retry-After"] = str(int(lock_time.total_seconds()))
    return response
