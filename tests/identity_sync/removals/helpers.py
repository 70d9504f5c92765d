"""Set removals aside in a sandbox, and decide on them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from identity_sync.errors import SyncPartial
from identity_sync.models import PendingRemoval
from identity_sync.removals.decide import Selection, approve_removals, keep_removals
from identity_sync.report import SyncReport
from scaiwave.core.change import Change
from scaiwave.core.operators import Operator
from scaiwave.sandbox import Sandbox
from tests.identity_sync.sync.helpers import (
    HOST,
    assert_partial,
    list_groups,
    list_people_of_tenant,
    restore_user,
    sync,
)


def remove_groups(sandbox: Sandbox) -> None:
    for group in list_groups(sandbox):
        sandbox.directory.remove_group(group["id"])


def pick_tenant(sandbox: Sandbox, number: int = 0) -> str:
    """Return the ScaiKey ID of the tenant with the most people, or of the next ones."""
    tenants = sandbox.directory.tenants
    sizes = sorted(tenants, key=lambda key: -len(list_people_of_tenant(sandbox, key)))
    return str(sizes[number])


def remove_people(sandbox: Sandbox, tenant: str, number: int) -> list[str]:
    keys = [row["id"] for row in list_people_of_tenant(sandbox, tenant)[:number]]
    for key in keys:
        sandbox.directory.remove_user(key)
    return keys


def restore_people(sandbox: Sandbox, tenant: str, keys: Iterable[str]) -> None:
    for key in keys:
        restore_user(sandbox, key, tenant)


def set_roles(sandbox: Sandbox, people: Iterable[str], roles: list[str] | None) -> None:
    for key in people:
        sandbox.directory.set_roles(key, roles)


def start_with_roles(sandbox: Sandbox, *roles: str) -> list[str]:
    """Sync, with these roles of thirty people of the largest tenant; return the people."""
    remove_groups(sandbox)
    people = [row["id"] for row in list_people_of_tenant(sandbox, pick_tenant(sandbox))[:30]]
    set_roles(sandbox, people, list(roles))
    sync()
    return people


def sync_partly(**options: Any) -> SyncReport:
    """Run a sync that sets something aside."""
    return assert_partial(**options).report


def sync_anyhow(**options: Any) -> None:
    with suppress(SyncPartial):
        sync(**options)


def list_open() -> list[PendingRemoval]:
    return list(PendingRemoval.objects.open().order_by("pk"))


def now() -> datetime:
    return datetime.now(UTC)


def approve(ids: Iterable[UUID] = (), operator: Operator = HOST, **options: Any) -> Change:
    return approve_removals(
        operator=operator,
        selection=options.pop("selection", None) or Selection([str(key) for key in ids]),
        reason=options.pop("reason", ""),
        confirm=options.pop("confirm", lambda effect: None),
        now=options.pop("now", now()),
        **options,
    )


def keep(ids: list[UUID], operator: Operator = HOST, **options: Any) -> Change:
    moment = options.pop("now", now())
    return keep_removals(
        operator=operator,
        selection=Selection([str(key) for key in ids]),
        reason=options.pop("reason", "wrong in ScaiKey"),
        until=options.pop("until", moment + timedelta(days=7)),
        confirm=options.pop("confirm", lambda effect: None),
        now=moment,
        **options,
    )
