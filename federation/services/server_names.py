"""Server names, as in @anna:chat.example.com: a host, and a port unless it is 443."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from federation.errors import InvalidServerName
from scaiwave.config import Configuration
from scaiwave.errors import SettingInvalid

MAX_NAME_CHARS = 255
_NAME = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::(?P<port>[1-9][0-9]{0,4}))?")
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")


@dataclass(frozen=True)
class ServerName:
    """`host` has no brackets; `port` is None if the name has no port."""

    text: str
    host: str
    port: int | None

    def __str__(self) -> str:
        return self.text


def parse_server_name(text: str) -> ServerName:
    """Parse a server name and convert it to lower case. Raises InvalidServerName."""
    lower = text.lower()
    match = _NAME.fullmatch(lower)
    if match is None or len(lower) > MAX_NAME_CHARS:
        raise _invalid_name_error(text)
    port = int(match["port"]) if match["port"] else None
    if not _is_host(match["host"]) or (port or 0) > 65535:
        raise _invalid_name_error(text)
    return ServerName(lower, match["host"].strip("[]"), port)


def get_server_name(config: Configuration) -> ServerName:
    """Return this server's own name. Raises SettingInvalid."""
    try:
        return parse_server_name(config.get_str("SCAIWAVE_SERVER_NAME"))
    except InvalidServerName as error:
        # The message omits the value: it may be a secret in the wrong setting.
        raise SettingInvalid(
            "SCAIWAVE_SERVER_NAME is not a valid server name.", fix=error.fix
        ) from None


def _is_host(host: str) -> bool:
    """Return whether it is a DNS name, an IPv4 address, or an IPv6 address in brackets."""
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


def _invalid_name_error(text: str) -> InvalidServerName:
    return InvalidServerName(f"Invalid server name: {text!r}.")
