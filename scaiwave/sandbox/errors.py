"""What can go wrong with the sandbox, in the terms of the project's error tree."""

from __future__ import annotations

from scaiwave.errors import ConfigurationError, DomainError, NotFoundError


class UnknownEntity(NotFoundError):
    """No partner, tenant, person or group has this id."""

    code = "SW_SANDBOX_UNKNOWN_ID"
    fix = "Take an id from one of the sandbox's lists."

    def __init__(self, kind: str, entity_id: str) -> None:
        super().__init__(f"The sandbox has no {kind} {entity_id!r}.")


class InvalidMutation(DomainError):
    code = "SW_SANDBOX_INVALID_MUTATION"


class PortBusy(ConfigurationError):
    code = "SW_SANDBOX_PORT_BUSY"


class ForeignState(ConfigurationError):
    """The state directory was written by a sandbox with another directory."""

    code = "SW_SANDBOX_FOREIGN_STATE"
