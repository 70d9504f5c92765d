"""Migrations that the release before could not work with are refused."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation

from scaiwave.storage.serve_from import ServeFrom
from scripts.check_migrations import OLDER, find_problems, main


def find(*operations: Operation, is_expansion: bool = False) -> list[str]:
    loader = MigrationLoader(None)
    state = loader.project_state(("tenants", OLDER["tenants"]))
    migration = migrations.Migration("0099_later", "tenants")
    vars(migration).update(operations=operations, is_expansion=is_expansion)
    return [problem.partition(": ")[2] for problem in find_problems(migration, state)]


def add(field: models.Field[Any, Any]) -> Operation:
    return migrations.AddField("tenant", "later", field)


def alter(field: models.Field[Any, Any]) -> Operation:
    return migrations.AlterField("tenant", "slug", field)


def do_nothing(*args: object) -> None:
    pass


def test_success_migrations_of_this_release() -> None:
    assert main() == 0


@pytest.mark.parametrize(
    "operations",
    [
        [add(models.IntegerField(null=True))],
        [add(models.IntegerField(db_default=0))],
        [migrations.RemoveField("tenant", "slug"), ServeFrom("0.5.0")],
        [
            migrations.CreateModel("Later", [("id", models.AutoField(primary_key=True))]),
            migrations.AddField("later", "name", models.CharField(max_length=9, default="")),
        ],
        [migrations.AddIndex("tenant", models.Index(fields=["slug"], name="later"))],
    ],
)
def test_success_expansions(operations: list[Operation]) -> None:
    assert find(*operations) == []


@pytest.mark.parametrize(
    ("operation", "problem"),
    [
        (
            add(models.CharField(max_length=9, default="")),
            "give it db_default or null=True, since the release before writes rows without it",
        ),
        (
            add(models.CharField(max_length=9, db_default="", unique=True)),
            "the release before writes rows with the same value",
        ),
        (alter(models.TextField()), "it changes the type of a column"),
        (alter(models.CharField(max_length=9)), "it makes a column shorter"),
        (alter(models.CharField(max_length=200, unique=True)), "it changes unique"),
        (
            migrations.AlterField("participant", "scaikey_id", models.CharField(max_length=200)),
            "the release before writes NULL",
        ),
        (
            migrations.RemoveField("tenant", "slug"),
            "say from which release on nothing uses it, with ServeFrom",
        ),
        (
            migrations.RenameField("tenant", "slug", "later"),
            "add the new name and copy; remove the old one a release later",
        ),
        (
            migrations.RunPython(do_nothing),
            "say `is_expansion = True` if the release before can work with it, and its rows pass "
            "it",
        ),
    ],
)
def test_fail_what_the_release_before_cannot_work_with(operation: Operation, problem: str) -> None:
    assert find(operation) == [problem]


def test_success_a_claim() -> None:
    assert find(migrations.RunPython(do_nothing), is_expansion=True) == []
