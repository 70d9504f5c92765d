"""Errors of the sandbox."""

from __future__ import annotations

from scaiwave.core.errors import ConfigurationError, DomainError, NotFoundError


class UnknownEntity(NotFoundError):
    """No partner, tenant, person or group in the sandbox has this ID or slug."""

    code = "SW_SANDBOX_UNKNOWN_ID"
    fix = "Use an ID or slug from one of the sandbox's lists."

    def __init__(self, kind: str, entity_id: str) -> None:
        self.kind = kind.capitalize()
        super().__init__(f"{self.kind} not found in the sandbox: {entity_id}.")


class InvalidMutation(DomainError):
    """The sandbox does not have the requested mutation, or its arguments are invalid."""

    code = "SW_SANDBOX_INVALID_MUTATION"
    remedy = "Use one of the mutations that the error lists."


class InvalidWebhook(DomainError):
    """The sandbox can't send webhooks with these options."""

    code = "SW_SANDBOX_INVALID_WEBHOOK"
    fix = "Set `url` to an http or https address, `lose` and `repeat` to shares from 0 to 1."


class PortBusy(ConfigurationError):
    """Another process uses the sandbox's port, or this user may not open it."""

    code = "SW_SANDBOX_PORT_BUSY"
    remedy = "Choose another port with `--port`, or stop the other process."


class ForeignState(ConfigurationError):
    """The state directory belongs to a sandbox with another seed or other sizes."""

    code = "SW_SANDBOX_FOREIGN_STATE"
    remedy = (
        "Start it with the options that the error names, with another `--state-dir`, or delete "
        "the file."
    )
