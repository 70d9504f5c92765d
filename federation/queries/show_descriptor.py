from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings

from federation.queries.descriptor import PATH, descriptor
from federation.queries.list_keys import NO_KEY
from federation.services.server_names import get_server_name
from scaiwave.auth.operators import Operator, Permission
from scaiwave.errors import SettingInvalid

LOCALHOST = "The server name is localhost, which no peer can reach; set SCAIWAVE_SERVER_NAME."


@dataclass(frozen=True)
class ShowDescriptorResult:
    """`misnamed` says what is wrong with the server's name, and is empty if nothing is."""

    document: dict[str, Any]
    misnamed: str

    @property
    def address(self) -> str:
        """Where peers look for it."""
        return f"https://{self.document['server_name']}{PATH}"

    @property
    def warnings(self) -> list[str]:
        warnings = [] if self.document["public_key"] else [NO_KEY]
        if self.document["server_name"] == "localhost":
            warnings.append(LOCALHOST)
        if self.misnamed:
            warnings.append(self.misnamed)
        return warnings


def show_descriptor(*, operator: Operator, now: datetime) -> ShowDescriptorResult:
    """What this server tells its peers now."""
    operator.require(Permission.VIEW_PLATFORM)
    return ShowDescriptorResult(descriptor(now).document, _misnamed())


def _misnamed() -> str:
    """Why no peer will take the name; empty if it is one."""
    try:
        get_server_name(settings.CONFIG)
    except SettingInvalid as error:
        return f"{error.message} {error.fix}"
    return ""
