"""Names of other servers, as operators type them."""

from __future__ import annotations

from federation.errors import InvalidServerName
from scaiwave.config.server_name import ServerName, find_server_name


def parse_server_name(text: str) -> ServerName:
    """Parse a server name and convert it to lower case. Raises InvalidServerName."""
    if name := find_server_name(text):
        return name
    raise InvalidServerName(f"Invalid server name: {text!r}.")
