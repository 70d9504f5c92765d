"""Names of servers, as in @anna:chat.example.com: a host, and a port where it is not 443."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from federation.errors import InvalidServerName
from scaiwave.config import Configuration
from scaiwave.errors import SettingInvalid

LONGEST = 255
_NAME = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::(?P<port>[1-9][0-9]{0,4}))?")
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")


@dataclass(frozen=True)
class ServerName:
    """`host` is without brackets; `port` is None where the name has none."""

    text: str
    host: str
    port: int | None

    def __str__(self) -> str:
        return self.text


def parse_server_name(text: str) -> ServerName:
    """In lower case. Raises InvalidServerName."""
    lower = text.lower()
    found = _NAME.fullmatch(lower)
    if found is None or len(lower) > LONGEST:
        raise _bad(text)
    port = int(found["port"]) if found["port"] else None
    if not _is_host(found["host"]) or (port or 0) > 65535:
        raise _bad(text)
    return ServerName(lower, found["host"].strip("[]"), port)


def get_server_name(config: Configuration) -> ServerName:
    """What this server is called. Raises SettingInvalid."""
    try:
        return parse_server_name(config.get_str("SCAIWAVE_SERVER_NAME"))
    except InvalidServerName as error:
        # Not the value, which may be a secret in the wrong place.
        raise SettingInvalid(
            "SCAIWAVE_SERVER_NAME is not the name of a server.", fix=error.fix
        ) from None


def _is_host(host: str) -> bool:
    """A name by the rules of DNS, an IPv4 address, or an IPv6 address in brackets."""
    if host.startswith("["):
        return _is_address(host.strip("[]"), version=6)
    labels = host.split(".")
    if labels[-1].isdecimal():
        return _is_address(host, version=4)
    return all(_LABEL.fullmatch(label) for label in labels)


def _is_address(text: str, *, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version
    except ValueError:
        return False


def _bad(text: str) -> InvalidServerName:
    return InvalidServerName(f"{text!r} is not the name of a server.")
