from __future__ import annotations

import pytest
from pytest_django import Settings

from scaiwave.sandbox import Sandbox
from tenants.people.scaikey_lookup import TenantLookup, build_tenant_lookup
from tests.tenants.fake_scaikey import make_config


@pytest.fixture
def lookup(sandbox: Sandbox, settings: Settings) -> TenantLookup:
    """Looks tenants up in the sandbox, with which this server is registered."""
    settings.CONFIG = make_config(sandbox)
    return build_tenant_lookup(settings.CONFIG)
