from __future__ import annotations

import pytest
from pytest_django import Settings

from scaiwave.sandbox import Sandbox
from tenants.services.scaikey import TenantLookup, tenant_lookup
from tests.tenants.scaikey import registered


@pytest.fixture
def lookup(sandbox: Sandbox, settings: Settings) -> TenantLookup:
    """Asks the sandbox, with which this server is registered."""
    settings.CONFIG = registered(sandbox)
    return tenant_lookup(settings.CONFIG)
