"""Sessions of the admin site as a sign-in with ScaiKey leaves them."""

from __future__ import annotations

import time
from typing import Any

from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.test import Client

from scaiwave.core.operators import Operator, OperatorRole
from scaiwave.site.access import SCAIKEY_BACKEND, save_operator
from tenants.models import AdminUser


def sign_in(
    role: str, *, partner: str | None = None, tenant: str | None = None, seconds: float = 60.0
) -> Client:
    """Return a client of a person with this role, who is limited to these ScaiKey IDs.

    The setting AUTHENTICATION_BACKENDS must have `SCAIKEY_BACKEND`.
    """
    subject = f"usr_{role}"
    user, _ = AdminUser.objects.get_or_create(
        username=f"scaikey:{subject}",
        scaikey_id=subject,
        email="eve@example.com",
        password=UNUSABLE_PASSWORD_PREFIX,
    )
    client = Client(REMOTE_ADDR="203.0.113.7")
    client.force_login(user, backend=SCAIKEY_BACKEND)
    operator = Operator(
        "eve@example.com", OperatorRole(role), partner_id=partner, tenant_id=tenant, subject=subject
    )
    change_session(client, operator, time.time() + seconds)
    return client


def change_session(client: Client, operator: Operator, expires_at: float) -> Any:
    session = client.session
    save_operator(session, operator, expires_at=expires_at)
    session.save()
    return session
