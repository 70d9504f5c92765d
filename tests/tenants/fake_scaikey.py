"""A server that is registered with the sandbox."""

from __future__ import annotations

from pathlib import Path

from scaiwave.config import Configuration
from scaiwave.sandbox import Sandbox
from tests.tenants.silent_scaikey import SilentServer


def get_credentials(sandbox: Sandbox | SilentServer) -> dict[str, str]:
    """The settings of a server that is registered with the sandbox."""
    return {
        "SCAIWAVE_SCAIKEY_URL": sandbox.url,
        "SCAIWAVE_SCAIKEY_CLIENT_ID": sandbox.client_id,
        "SCAIWAVE_SCAIKEY_CLIENT_SECRET": sandbox.client_secret,
    }


def make_config(sandbox: Sandbox | SilentServer, **changes: str) -> Configuration:
    """The configuration of a server that has credentials of the sandbox."""
    environment = {**get_credentials(sandbox), **changes}
    nowhere = Path("/nonexistent")
    return Configuration(environment, nowhere, nowhere / ".env")
