from __future__ import annotations

import pytest

from tenants.models import Role, Tenant
from tests.tenants.role_factories import make_role


@pytest.fixture
def role(tenant: Tenant) -> Role:
    """The role editors of the tenant."""
    return make_role(tenant)
