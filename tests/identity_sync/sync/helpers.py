"""Run syncs against the sandbox, and read the sandbox's directory and the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from django.db import connection
from django.db.models import Count

from identity_sync.errors import SyncPartial
from identity_sync.models import SyncChange, SyncRun
from identity_sync.report import SyncReport
from identity_sync.sync.options import Pace, Permissions, SyncOptions
from identity_sync.sync.run import run_sync
from identity_sync.sync.tables import TABLES
from scaiwave.core.operators import Operator, OperatorRole
from scaiwave.sandbox import Sandbox
from scaiwave.sandbox.data.population import EVERYTHING
from tenants.models import Group, GroupMembership, Participant, Partner, Tenant

HOST = Operator("root", OperatorRole.HOST)
ADMIN = "/api/v1/admin"
USERS = f"{ADMIN}/users/"
MEMBERS = f"{ADMIN}/groups/*/members"
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
SYNCED_MODELS = (Partner, Tenant, Participant, Group, GroupMembership)


def make_options(operator: Operator = HOST, **values: Any) -> SyncOptions:
    """Return options from flat names: those of permissions and times are put in their place."""
    permissions = {
        each.name: values.pop(each.name) for each in fields(Permissions) if each.name in values
    }
    pace = {each.name: values.pop(each.name) for each in fields(Pace) if each.name in values}
    return SyncOptions(
        operator, permissions=Permissions(**permissions), pace=Pace(**pace), **values
    )


def sync(**options: Any) -> SyncReport:
    return run_sync(make_options(**options))


def assert_partial(**options: Any) -> SyncPartial:
    """Run a sync that skips something; return its error, with the report."""
    with pytest.raises(SyncPartial) as caught:
        sync(**options)
    return caught.value


def assert_synced(sandbox: Sandbox, **options: Any) -> SyncReport:
    """Run a sync, after which this server has what the sandbox has."""
    report = sync(**options)
    assert read_database() == read_directory(sandbox)
    return report


def assert_nothing_changes() -> SyncReport:
    """Run a sync, which writes no row of the directory again."""
    age_rows()
    report = sync()
    assert get_changed_counts(report) == {}
    assert count_rewritten_rows() == {}
    return report


def get_changed_counts(report: SyncReport) -> dict[str, dict[str, int]]:
    """Return the counts that are not zero, except for seen and unchanged rows."""
    nonzero = {
        kind: {
            name: number
            for name, number in row.items()
            if number and name not in ("seen", "unchanged")
        }
        for kind, row in report.counts().items()
    }
    return {kind: row for kind, row in nonzero.items() if row}


def get_changes(run_id: Any = None) -> list[tuple[str, str, str, str, str]]:
    """Return (kind, action, name, fields, reason) for each change of a run, by default the last."""
    run = SyncRun.objects.order_by("-started_at", "-pk").first() if run_id is None else None
    rows = SyncChange.objects.filter(run_id=run.pk if run else run_id)
    return sorted((row.kind, row.action, row.subject_name, row.fields, row.reason) for row in rows)


def get_last_run() -> SyncRun:
    return SyncRun.objects.latest("started_at")


def list_people(sandbox: Sandbox) -> list[dict[str, Any]]:
    return [
        msgspec.json.decode(row) for row in sandbox.directory.list_users(EVERYTHING, 0, 10**6)[0]
    ]


def list_groups(sandbox: Sandbox) -> list[dict[str, Any]]:
    rows = sandbox.directory.list_groups(EVERYTHING, 0, 10**6)[0]
    return [msgspec.json.decode(row) for row in rows]


def list_people_of_tenant(sandbox: Sandbox, tenant_id: str) -> list[dict[str, Any]]:
    return [row for row in list_people(sandbox) if get_tenant_id(row) == tenant_id]


def restore_user(sandbox: Sandbox, person: str, tenant: str) -> None:
    """Let a removed person return to a tenant with the same ID."""
    index = sandbox.directory.people.ids.decode(person)
    assert index is not None
    sandbox.directory.people.roster.move(index, (tenant, "ACTIVE"))
    sandbox.directory.clear_cache()


def pick_two_people(sandbox: Sandbox) -> tuple[str, str]:
    """Return the ids of two people of the first tenant."""
    people = list_people_of_tenant(sandbox, next(iter(sandbox.directory.tenants)))
    return people[0]["id"], people[1]["id"]


def get_display_name(row: dict[str, Any]) -> str:
    full_name = f"{row.get('first_name') or ''} {row.get('last_name') or ''}".strip()
    return str(row.get("display_name") or full_name or row["email"].partition("@")[0])


def get_tenant_id(row: dict[str, Any]) -> str:
    return str(row.get("tenant_id") or row["tenant"]["id"])


def read_directory(sandbox: Sandbox) -> dict[str, set[tuple[Any, ...]]]:
    """Return the sandbox's directory in the form of `read_database`."""
    directory = sandbox.directory
    edges = set()
    for group in list_groups(sandbox):
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
            (get_tenant_id(row), row["id"], get_display_name(row), row["email"], row["status"])
            for row in list_people(sandbox)
        },
        "groups": {
            (row["tenant_id"], row["id"], row["name"], row["group_type"])
            for row in list_groups(sandbox)
        },
        "edges": edges,
    }


def read_database() -> dict[str, set[tuple[Any, ...]]]:
    """Return the linked and active rows, by kind."""
    present = {"absent_since": None}
    edges = GroupMembership.objects.filter(**present, group__absent_since=None).exclude(
        member_participant__scaikey_id=None, member_group__scaikey_id=None
    )
    columns = ("group__scaikey_id", "member_participant__scaikey_id", "member_group__scaikey_id")
    id_columns = ("tenant__scaikey_tenant_id", "scaikey_id")
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
            .values_list(*id_columns, "display_name", "email", "scaikey_status")
        ),
        "groups": set(
            Group.objects.filter(**present)
            .exclude(scaikey_id=None)
            .values_list(*id_columns, "name", "group_type")
        ),
        "edges": {
            (group, person or nested) for group, person, nested in edges.values_list(*columns)
        },
    }


def dump_rows() -> dict[str, list[tuple[Any, ...]]]:
    """Return every row that a sync may write, except for the runs."""
    return {
        model._meta.db_table: list(model.objects.order_by("pk").values_list())
        for model in (*SYNCED_MODELS, SyncChange)
    }


def age_rows() -> None:
    """Set the time of every row to long ago, which shows rows that are rewritten later."""
    for model in SYNCED_MODELS:
        model.objects.update(updated_at=LONG_AGO)


def count_rewritten_rows() -> dict[str, int]:
    return {
        model._meta.db_table: number
        for model in SYNCED_MODELS
        if (number := model.objects.exclude(updated_at=LONG_AGO).count())
    }


@contextmanager
def record_writes() -> Iterator[list[str]]:
    """Record the names of the permanent tables that are written to."""
    written: list[str] = []

    def listen(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        words = str(sql).replace('"', " ").split()
        tables = [word for word in words[:4] if word.startswith("sw_")]
        if words[0] in ("INSERT", "UPDATE", "DELETE") and tables:
            written.append(tables[0])
        return execute(sql, params, many, context)

    with connection.execute_wrapper(listen):
        yield written


def list_temporary_tables() -> list[str]:
    if connection.vendor == "sqlite":
        sql = "SELECT name FROM temp.sqlite_master WHERE type = 'table'"
    else:
        sql = "SELECT relname FROM pg_class WHERE relpersistence = 't' AND relkind = 'r'"
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return sorted(row[0] for row in cursor.fetchall() if row[0] in TABLES)


def count_duplicate_names() -> int:
    """Count the local ids that more than one person has."""
    return (
        Participant.objects.values("local_id", "server_name")
        .annotate(number=Count("pk"))
        .filter(number__gt=1)
        .count()
    )
