"""What a sync makes of the sandbox's directory, and how to look at what is in the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
from django.db import connection
from django.db.models import Count

from identity_sync.models import SyncChange, SyncRun
from identity_sync.services.sync.report import SyncReport
from identity_sync.services.sync.run import SyncOptions, run_sync
from identity_sync.services.sync.staging import TABLES
from scaiwave.auth.operators import Operator, Role
from scaiwave.config import Configuration
from scaiwave.console.progress import null_progress_factory
from scaiwave.sandbox import Sandbox
from scaiwave.sandbox.data.population import EVERYTHING
from tenants.models import Group, GroupMembership, Participant, Partner, Tenant
from tests.tenants.fake_scaikey import make_config

HOST = Operator("root", Role.HOST)
ADMIN = "/api/v1/admin"
USERS = f"{ADMIN}/users/"
MEMBERS = f"{ADMIN}/groups/*/members"
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
MIRRORED = (Partner, Tenant, Participant, Group, GroupMembership)


def sync(**options: Any) -> SyncReport:
    return run_sync(SyncOptions(options.pop("operator", HOST), null_progress_factory, **options))


def counts(report: SyncReport) -> dict[str, dict[str, int]]:
    """The counts that are not zero, without what was seen and left as it was."""
    shown = {
        kind: {
            name: number
            for name, number in row.items()
            if number and name not in ("seen", "unchanged")
        }
        for kind, row in report.counts().items()
    }
    return {kind: row for kind, row in shown.items() if row}


def changes(run_id: Any = None) -> list[tuple[str, str, str, str, str]]:
    run = SyncRun.objects.order_by("-started_at", "-pk").first() if run_id is None else None
    rows = SyncChange.objects.filter(run_id=run.pk if run else run_id)
    names = ("kind", "action", "subject_name", "fields", "reason")
    return sorted(rows.values_list(*names))


def last_run() -> SyncRun:
    return SyncRun.objects.latest("started_at")


def everybody(sandbox: Sandbox) -> list[dict[str, Any]]:
    return [
        msgspec.json.decode(row) for row in sandbox.directory.list_users(EVERYTHING, 0, 10**6)[0]
    ]


def every_group(sandbox: Sandbox) -> list[dict[str, Any]]:
    rows = sandbox.directory.list_groups(EVERYTHING, 0, 10**6)[0]
    return [msgspec.json.decode(row) for row in rows]


def people_of(sandbox: Sandbox, tenant_id: str) -> list[dict[str, Any]]:
    return [row for row in everybody(sandbox) if tenant_in(row) == tenant_id]


def called(row: dict[str, Any]) -> str:
    full = f"{row.get('first_name') or ''} {row.get('last_name') or ''}".strip()
    return str(row.get("display_name") or full or row["email"].partition("@")[0])


def tenant_in(row: dict[str, Any]) -> str:
    return str(row.get("tenant_id") or row["tenant"]["id"])


def in_directory(sandbox: Sandbox) -> dict[str, set[tuple[Any, ...]]]:
    """What there is, as `in_database` would say it."""
    directory = sandbox.directory
    edges = set()
    for group in every_group(sandbox):
        for text in directory.list_members(group["id"], 0, 10**6)[0]:
            row = msgspec.json.decode(text)
            edges.add((group["id"], row.get("user_id") or row["group_id"]))
    return {
        "partners": {(row["id"], row["name"], row["slug"]) for row in directory.partners.values()},
        "tenants": {
            (row["id"], row["name"], row["slug"], row["partner_id"], row["status"])
            for row in directory.tenants.values()
        },
        "people": {
            (tenant_in(row), row["id"], called(row), row["email"], row["status"])
            for row in everybody(sandbox)
        },
        "groups": {
            (row["tenant_id"], row["id"], row["name"], row["group_type"])
            for row in every_group(sandbox)
        },
        "edges": edges,
    }


def in_database() -> dict[str, set[tuple[Any, ...]]]:
    """What is linked and not absent."""
    present = {"absent_since": None}
    edges = GroupMembership.objects.filter(**present, group__absent_since=None).exclude(
        member_participant__scaikey_id=None, member_group__scaikey_id=None
    )
    who = ("group__scaikey_id", "member_participant__scaikey_id", "member_group__scaikey_id")
    place = ("tenant__scaikey_tenant_id", "scaikey_id")
    return {
        "partners": set(
            Partner.objects.filter(**present)
            .exclude(scaikey_id=None)
            .values_list("scaikey_id", "name", "slug")
        ),
        "tenants": set(
            Tenant.objects.filter(**present)
            .exclude(scaikey_tenant_id=None)
            .values_list(
                "scaikey_tenant_id", "name", "slug", "partner__scaikey_id", "scaikey_status"
            )
        ),
        "people": set(
            Participant.objects.filter(**present)
            .exclude(scaikey_id=None)
            .values_list(*place, "display_name", "email", "scaikey_status")
        ),
        "groups": set(
            Group.objects.filter(**present)
            .exclude(scaikey_id=None)
            .values_list(*place, "name", "group_type")
        ),
        "edges": {(group, one or other) for group, one, other in edges.values_list(*who)},
    }


def dump() -> dict[str, list[tuple[Any, ...]]]:
    """Every row of what a sync may write, besides the runs themselves."""
    return {
        model._meta.db_table: list(model.objects.order_by("pk").values_list())
        for model in (*MIRRORED, SyncChange)
    }


def age() -> None:
    """Say of every row that it was written long ago, so that a rewritten one shows."""
    for model in MIRRORED:
        model.objects.update(updated_at=LONG_AGO)


def rewritten() -> dict[str, int]:
    return {
        model._meta.db_table: number
        for model in MIRRORED
        if (number := model.objects.exclude(updated_at=LONG_AGO).count())
    }


@contextmanager
def recorded() -> Iterator[list[str]]:
    """The statements that would write to a table of ours."""
    written: list[str] = []

    def listen(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        words = str(sql).replace('"', " ").split()
        ours = [word for word in words[:4] if word.startswith("sw_")]
        if words[0] in ("INSERT", "UPDATE", "DELETE") and ours:
            written.append(ours[0])
        return execute(sql, params, many, context)

    with connection.execute_wrapper(listen):
        yield written


def temporary_left() -> list[str]:
    if connection.vendor == "sqlite":
        sql = "SELECT name FROM temp.sqlite_master WHERE type = 'table'"
    else:
        sql = "SELECT relname FROM pg_class WHERE relpersistence = 't' AND relkind = 'r'"
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return sorted(row[0] for row in cursor.fetchall() if row[0] in TABLES)


def duplicates() -> int:
    """How many names of people are taken more than once."""
    return (
        Participant.objects.values("local_id", "server_name")
        .annotate(number=Count("pk"))
        .filter(number__gt=1)
        .count()
    )


def configured(sandbox: Sandbox, **changes: str) -> Configuration:
    return make_config(sandbox, **changes)
