from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from scaiwave import extensions
from scaiwave.core.operators import get_host_operator
from scaiwave.extensions import Extension


def _iter_entries() -> Iterator[tuple[str, Extension[Any]]]:
    for name, value in vars(extensions).items():
        if isinstance(value, Extension):
            yield name, value
        elif name.isupper() and isinstance(value, Mapping):
            yield from ((f"{name}[{key}]", entry) for key, entry in value.items())
        elif name.isupper() and isinstance(value, tuple):
            yield from ((f"{name}[{number}]", entry) for number, entry in enumerate(value))


ENTRIES = dict(_iter_entries())


def _find_type(name: str) -> str:
    """Return the type argument of the innermost `Extension[…]` of an annotation in the table."""
    source = ast.parse(Path(extensions.__file__).read_text())
    for statement in source.body:
        if isinstance(statement, ast.AnnAssign) and ast.unparse(statement.target) == name:
            return ast.unparse(statement.annotation).partition("Extension[")[2]
    raise AssertionError(f"{name} has no annotation")


@pytest.mark.parametrize("name", ENTRIES)
def test_success_every_entry_loads_and_fits_its_type(name: str) -> None:
    loaded, type_name = ENTRIES[name].load(), _find_type(name.partition("[")[0])
    protocol = vars(extensions).get(type_name.rstrip("]"))
    if protocol is None:
        assert type_name.startswith("Callable[")
    members = [each for each in vars(protocol or object) if not each.startswith("_")]
    assert all(hasattr(loaded, member) for member in members), members
    if protocol is None or "__call__" in vars(protocol):
        assert callable(loaded)


def test_success_the_table_names_all_apps() -> None:
    apps = {entry.path.partition(".")[0] for entry in ENTRIES.values()}
    assert apps == {"tenants", "federation", "rooms", "identity_sync", "scaiwave"}


@pytest.mark.django_db
def test_success_unknown_rows() -> None:
    unknown = uuid4()
    assert {name: each.load()([unknown]) for name, each in extensions.TENANT_TOTALS.items()} == {
        "rooms": {unknown: 0},
        "storage_bytes": {unknown: 0},
    }
    assert extensions.PARTICIPANT_CHANGES.load()(unknown) == []
    assert extensions.ROLE_USES.load()(unknown, "editors") == []
    assert extensions.STATUS_HISTORY.load()(unknown) is None
    assert extensions.TENANT_SLUG.load()("tnt_unknown") is None
    assert extensions.MANUAL_SUSPENSION.load()("usr_unknown") is False
    assert extensions.APPLICATION_SCOPE.load()("app_unknown") == ""
    assert extensions.OPERATOR_SCOPE.load()(get_host_operator()).blocker is None
    assert not extensions.VISIBLE_TENANTS.load()(get_host_operator()).exists()
