from __future__ import annotations

import pytest
from pytest_django import Settings

from scaiwave.sandbox import Sandbox
from tenants.models import Participant, Partner, Tenant
from tenants.people.scaikey_lookup import TenantLookup, build_tenant_lookup
from tests.tenants.factories import make_partner, make_person, make_tenant
from tests.tenants.fake_scaikey import make_config


@pytest.fixture
def lookup(sandbox: Sandbox, settings: Settings) -> TenantLookup:
    """Looks tenants up in the sandbox, with which this server is registered."""
    settings.CONFIG = make_config(sandbox)
    return build_tenant_lookup(settings.CONFIG)


@pytest.fixture
def partner() -> Partner:
    """The partner northwind."""
    return make_partner()


@pytest.fixture
def tenant() -> Tenant:
    """The tenant acme."""
    return make_tenant()


@pytest.fixture
def anna(tenant: Tenant) -> Participant:
    """A person of the tenant."""
    return make_person(tenant)
