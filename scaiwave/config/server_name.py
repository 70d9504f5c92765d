"""Server names, as in @anna:chat.example.com: a host, and a port unless it is 443."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from scaiwave.config.configuration import Configuration, has_comment
from scaiwave.core.errors import SettingInvalid

MAX_NAME_CHARS = 255
NAME_FIX = (
    "Write it without https:// and path, as in chat.example.com or chat.example.com:8448; "
    "write names with non-ASCII characters in their xn-- form."
)
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


def find_server_name(text: str) -> ServerName | None:
    """Parse a server name and convert it to lower case; None if the text is not one."""
    lower = text.lower()
    match = _NAME.fullmatch(lower)
    if match is None or len(lower) > MAX_NAME_CHARS:
        return None
    port = int(match["port"]) if match["port"] else None
    if not _is_host(match["host"]) or (port or 0) > 65535:
        return None
    return ServerName(lower, match["host"].strip("[]"), port)


def normalize_server_name(text: str) -> str:
    """Return the form that all spellings of a server name share, for comparisons.

    It is in lower case, without default port or final dot; any other text is returned as it is.
    """
    name = find_server_name(re.sub(r"\.?(:443)?$", "", text))
    return name.text if name else text


def get_server_name(config: Configuration) -> ServerName:
    """Return this server's own name. Raises SettingInvalid."""
    text = config.get_str("SCAIWAVE_SERVER_NAME")
    if name := find_server_name(text):
        return name
    # The message omits the value: it may be a secret in the wrong setting.
    if has_comment(text):
        raise SettingInvalid(
            "SCAIWAVE_SERVER_NAME has a comment behind its value.",
            fix="Write the comment on a line of its own: a value extends to the end of its line.",
        )
    raise SettingInvalid("SCAIWAVE_SERVER_NAME is not a valid server name.", fix=NAME_FIX)


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
