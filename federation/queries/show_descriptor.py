from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from federation.queries.descriptor import PATH, descriptor
from federation.queries.list_keys import NO_KEY
from scaiwave.operators import Operator, Permission

LOCALHOST = "The server name is localhost, which no peer can reach; set SCAIWAVE_SERVER_NAME."


@dataclass(frozen=True)
class ShownDescriptor:
    document: dict[str, Any]

    @property
    def address(self) -> str:
        """Where peers look for it."""
        return f"https://{self.document['server_name']}{PATH}"

    @property
    def warnings(self) -> list[str]:
        warnings = [] if self.document["public_key"] else [NO_KEY]
        if self.document["server_name"] == "localhost":
            warnings.append(LOCALHOST)
        return warnings


def show_descriptor(*, operator: Operator, now: datetime) -> ShownDescriptor:
    """What this server tells its peers now."""
    operator.require(Permission.VIEW_PLATFORM)
    return ShownDescriptor(descriptor(now).document)
