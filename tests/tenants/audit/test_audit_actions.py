"""The filter of the audit log by action: its choices, and the index that it uses."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tenants.audit.queries.actions import AUDIT_ACTIONS
from tenants.audit.record import record_audit
from tenants.models import AdminUser
from tenants.people.suspension import PARTICIPANT, PARTNER, TENANT
from tests.scaiwave import row_factories
from tests.tenants.factories import HOST_OPERATOR

ROOT = Path(__file__).parents[3]
PACKAGES = ("tenants", "federation", "rooms", "identity_sync", "scaiwave")
WRITERS = {
    "record_audit": (1,),
    "record_changes": (1,),
    "AuditEntry": (),
    "_record": (1, 2),
    "_build_act": (0,),
}
"""What writes an audit entry, with the positions of the action unless it has its name."""


def find_texts(node: ast.AST) -> Iterator[str]:
    """Yield the texts of a value, not those of its condition."""
    if isinstance(node, ast.IfExp):
        yield from (*find_texts(node.body), *find_texts(node.orelse))
        return
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value


def find_assigned(node: ast.AST, name: str) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Assign) and name in {getattr(at, "id", "") for at in each.targets}:
            yield from find_texts(each.value)


def find_actions(node: ast.AST) -> Iterator[str]:
    """Yield the texts that are actions of audit entries."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in WRITERS:
        given = [each.value for each in node.keywords if each.arg == "action"]
        given += [each for at in WRITERS[node.func.id] for each in node.args[at : at + 1]]
        for value in given:
            yield from find_texts(value)
    if isinstance(node, ast.FunctionDef) and "record_audit" in {
        getattr(each, "id", "") for each in ast.walk(node)
    }:
        yield from find_assigned(node, "action")
    if isinstance(node, ast.Assign):
        yield from find_assigned(node, "ACTION")
    if isinstance(node, ast.ClassDef) and node.name == "SignInOutcome":
        yield from (
            text for each in node.body if isinstance(each, ast.Assign) for text in find_texts(each)
        )


def list_suspensions() -> Iterator[str]:
    for rules in (PARTNER, TENANT, PARTICIPANT):
        yield from map(rules.get_action, (True, False))


def test_success_all_actions_that_are_written_can_be_chosen() -> None:
    written = {
        action
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for action in find_actions(node)
    }
    written.update(list_suspensions())
    assert sorted(written) == list(AUDIT_ACTIONS)


@pytest.mark.django_db
def test_success_entries_are_filtered_by_action_with_the_index() -> None:
    """The newest are read first from the index, so that a frequent action is not sorted."""
    client = Client()
    client.force_login(AdminUser.objects.create_superuser("root"))
    subject = AdminUser(username="anna")
    for action in ("role grant", "role revoke", "role grant"):
        record_audit(operator=HOST_OPERATOR, action=action, subject=subject, now=row_factories.NOW)
    url = reverse("admin:tenants_auditentry_changelist")
    with CaptureQueriesContext(connection) as queries:
        page = client.get(url, {"action": "role grant"})
    listed = list(page.context["cl"].result_list)
    assert [entry.action for entry in listed] == ["role grant"] * 2
    assert listed == sorted(listed, key=lambda entry: entry.pk, reverse=True)
    [sql] = [
        each["sql"]
        for each in queries
        if "sw_audit_entries" in each["sql"] and "ORDER BY" in each["sql"]
    ]
    assert "DISTINCT" not in sql
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":  # It would read so small a table as a whole.
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_sort = off")
            cursor.execute(f"EXPLAIN {sql}")
        else:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
        plan = "\n".join(str(step[-1]) for step in cursor.fetchall())
    assert "sw_audit_action" in plan
    assert "B-TREE" not in plan
    assert "Sort" not in plan
