"""Permissions: every command, run by every type of operator.

`test_authorisation_acts.py` does the same with the acts of the admin site, from the same rows.

A command without a row here fails the last test. Each runs in this process, as its console script
runs it, with a token that the sandbox has signed. A refused command must change nothing.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.management import get_commands, load_command_class
from django.db import connection, transaction
from pytest_django import Settings

from scaiwave.cli.verbs import VERBS, VerbPath, canonical_path
from scaiwave.config import load
from scaiwave.core.errors import ScaiWaveError
from scaiwave.core.operators import ROLE_PERMISSIONS, Operator, Permission
from scaiwave.sandbox import Sandbox
from scaiwave.storage.error_mapping import translate_errors
from scripts.command_reference import load_command
from tests.authorisation_fixtures import SampleData
from tests.authorisation_outcomes import (
    BACKUP,
    GARBAGE,
    OPERATORS,
    OTHER_PARTNER,
    OTHER_TENANT,
    OWN_PARTNER,
    OWN_TENANT,
    READ,
    REQUIRE,
    ROLES,
    SERVICE,
    STRICTER,
    SUPER,
    WRITE,
)
from tests.authorisation_rows import ROWS
from tests.settings_env import forget_seals


@pytest.fixture(scope="module")
def scaikey() -> Iterator[Sandbox]:
    with Sandbox(people=3, tenants=2, partners=2, groups=1, seed=8) as running:
        yield running


@pytest.fixture
def sample(scaikey: Sandbox, tmp_path: Path) -> SampleData:
    return SampleData.create(scaikey, tmp_path)


def make_token(scaikey: Sandbox, sample: SampleData, operator_type: str) -> str:
    claims: dict[str, dict[str, Any]] = {
        SUPER: {"role": "super_admin"},
        OWN_PARTNER: {"role": "partner_admin", "partner_id": sample.partner.scaikey_id},
        OTHER_PARTNER: {"role": "partner_admin", "partner_id": sample.other_partner.scaikey_id},
        OWN_TENANT: {"role": "tenant_admin", "tenant_id": sample.tenant.scaikey_tenant_id},
        OTHER_TENANT: {"role": "tenant_admin", "tenant_id": sample.other_tenant.scaikey_tenant_id},
    }
    scopes = {READ: "admin:read", WRITE: "admin:write"}
    if operator_type in claims:
        return scaikey.issue_token(**claims[operator_type])
    if operator_type in (SERVICE, BACKUP):
        return scaikey.issue_platform_token(
            scope="admin:read" if operator_type == SERVICE else "admin:read rooms:export",
            app_scope="PARTNER",
            partner_id=sample.partner.scaikey_id,
            platform_token=None,
            role="partner_admin",
        )
    if operator_type in scopes:
        return scaikey.issue_platform_token(scope=scopes[operator_type])
    return "no.token.at-all" if operator_type == GARBAGE else ""


def list_verb_paths(*, commits: bool) -> list[VerbPath]:
    return [words for words in VERBS if words in ROWS and ROWS[words].commits is commits]


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.parametrize("words", list_verb_paths(commits=False), ids=" ".join)
def test_success_only_permitted_operators_succeed(
    words: VerbPath,
    scaikey: Sandbox,
    sample: SampleData,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What one operator has done is undone before the next one tries."""
    for operator_type in OPERATORS:
        with undone(sample.directory):
            set_token(settings, scaikey, sample, operator_type)
            sample.create_keys(ROWS[words].keys)
            arguments = ROWS[words].arguments(sample)
            assert_permissions(words, arguments, operator_type, sample, monkeypatch)


def list_cases_with_commits() -> list[Any]:
    """Return each command with those who may run it, one by one, and with all others together."""
    cases = []
    for words in list_verb_paths(commits=True):
        codes = ROWS[words].codes
        refused = [each for each in OPERATORS if codes[each]]
        groups = [refused, *([each] for each in OPERATORS if codes[each] == 0)]
        cases += [pytest.param(words, group, id=f"{words} {group[0]}") for group in groups if group]
    return cases


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("words", "operator_types"), list_cases_with_commits())
def test_success_only_permitted_operators_succeed_with_commits(
    words: VerbPath,
    operator_types: list[str],
    scaikey: Sandbox,
    sample: SampleData,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those who are refused change nothing, so that they can try one after the other."""
    settings.CONFIG = load(sample.environment)
    sample.create_keys(ROWS[words].keys)
    arguments = ROWS[words].arguments(sample)
    for operator_type in operator_types:
        set_token(settings, scaikey, sample, operator_type)
        assert_permissions(words, arguments, operator_type, sample, monkeypatch)


def set_token(settings: Settings, scaikey: Sandbox, sample: SampleData, operator_type: str) -> None:
    token = make_token(scaikey, sample, operator_type)
    settings.CONFIG = load({**sample.environment, "SCAIWAVE_ADMIN_TOKEN": token})


def assert_permissions(
    words: VerbPath,
    arguments: list[str],
    operator_type: str,
    sample: SampleData,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = ROWS[words]
    expected = row.codes[operator_type]
    before = (read_tables(), read_files(sample.directory)) if expected else None
    required: list[str] = []

    def require(operator: Operator, permission: Permission) -> None:
        required.append(permission.name)
        REQUIRE(operator, permission)

    monkeypatch.setattr(Operator, "require", require)
    code, out = run(words, arguments, monkeypatch)
    declared = VERBS[words].permission
    assert required[:1] in ([], [declared]), "the service requires another permission first"
    if operator_type == SUPER and words != ("sync",):  # A full sync looks at the role first.
        assert bool(required) is bool(declared)
    assert code == expected, (operator_type, out)
    if code:
        assert (read_tables(), read_files(sample.directory)) == before
    if row.seen is not None and code == 0:
        assert (row.seen(sample) in out) is (operator_type not in row.blind), operator_type


@contextmanager
def undone(directory: Path) -> Iterator[None]:
    """Undo what is changed in this block in the database and in the files of a directory."""
    files = read_files(directory)
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
    forget_seals()
    for path in read_files(directory).keys() - files.keys():
        path.unlink()
    for path, content in files.items():
        path.write_bytes(content)


def run(words: VerbPath, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Return the exit code, and the output or the error."""
    stdout = io.BytesIO()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(stdout, write_through=True))
    name = VERBS[words].command
    command = load_command_class(get_commands()[name], name)
    try:
        with translate_errors():
            command.run_from_argv(["scaiwave", name, *arguments])
    except ScaiWaveError as error:
        return error.exit_code, f"{error.code}: {error.message}"
    except SystemExit as stop:
        return int(stop.code or 0), stdout.getvalue().decode(errors="replace")
    return 0, stdout.getvalue().decode(errors="replace")


def read_tables() -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table of the suite."""
    tables = {model._meta.db_table for model in apps.get_models()}
    rows = {}
    with connection.cursor() as cursor:
        for table in tables:
            if table.startswith("sw_"):
                cursor.execute(f"SELECT * FROM {table}")
                rows[table] = sorted(cursor.fetchall(), key=repr)
    return rows


def read_files(directory: Path) -> dict[Path, bytes]:
    """Return the contents of all files in the directory, except for locks."""
    paths = (path for path in directory.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {path: path.read_bytes() for path in paths}


def test_success_declared_permissions_fit_the_rows() -> None:
    """Who lacks the permission that a command declares is refused; few others are.

    The page about permissions is made from the permission and `refuses` alone.
    """
    columns = {"admin:write": WRITE, "partner_admin": OWN_PARTNER, "tenant_admin": OWN_TENANT}
    stricter = set()
    for words, row in ROWS.items():
        if not (declared := VERBS[words].permission):
            continue
        for operator_type, role in ROLES.items():
            if Permission[declared] not in ROLE_PERMISSIONS[role]:
                assert row.codes[operator_type] == 3, (words, operator_type)
            elif row.codes[operator_type] == 3:
                stricter.add((words, operator_type))
        assert {columns[each] for each in load_command(VERBS[words]).refuses} == {
            each
            for each in columns.values()
            if Permission[declared] in ROLE_PERMISSIONS[ROLES[each]] and row.codes[each] in (1, 3)
        } - ({OWN_PARTNER} if words == ("admin", "link-tenant") else set()), words
    assert stricter == STRICTER


def test_success_every_command_has_a_row() -> None:
    missing = {words for words in VERBS if words not in ROWS and not canonical_path(words)}
    assert not missing, f"ROWS of tests/authorisation_rows.py lacks {missing}: add their rows."
    assert not [words for words in ROWS if words not in VERBS or canonical_path(words)]
