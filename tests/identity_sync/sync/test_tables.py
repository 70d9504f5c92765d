"""All SQL of the sync uses declared tables, each with one alias, and all that is declared."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from identity_sync.sync import tables
from identity_sync.sync.fetch.kinds import ENTITIES
from identity_sync.sync.states import ClaimState, Judgment
from identity_sync.sync.tables import TABLES

ALIASES = {
    **{name: table.alias for name, table in TABLES.items()},
    "sw_partners": "pr",
    "sw_tenants": "t",
    "sw_participants": "p",
    "sw_groups": "g",
    "sw_group_memberships": "e",  # edges
    "sw_roles": "ro",
    "sw_role_grants": "gr",
    "sw_pending_removals": "q",
    "sw_sync_skips": "sk",
}
FOLDER = Path(tables.__file__).parent
ROOMS = ("fetch", "confirm", "plan", "judge", "apply")
STATES = re.compile(r"\bstate (?:=|<>|(?:NOT )?IN) \(?(?P<words>'\w+'(?:, '\w+')*)")
SQL = re.compile(r"\b(?:SELECT|FROM|JOIN|UPDATE|INSERT|DELETE|WHERE|EXISTS)\b")
# A table with its alias. A text may begin with one, as a part of a statement.
TABLE = re.compile(
    r"(?P<before>\b(?:FROM|JOIN|UPDATE|INTO)\s+|\A\s*)(?P<table>(?:[a-z_]|\{[^}]*\})+)"
    r"(?:\s+(?:AS )?(?P<alias>[a-z_]+)\b(?!\s*\())?"
)
EVERY_ALIAS = [*ALIASES.values(), "s", "m"]
INSERTED = re.compile(r"\bINSERT INTO \w+\s*\([^)]*\)")


def render(node: ast.AST) -> str:
    """Return the text of a string; what is inserted is written as `{expression}`."""
    if isinstance(node, ast.JoinedStr):
        return "".join(map(render, node.values))
    if isinstance(node, ast.FormattedValue):
        return f"{{{ast.unparse(node.value).replace(' ', '')}}}"
    return str(node.value) if isinstance(node, ast.Constant) else ""


def iter_texts(source: str) -> Iterator[str]:
    """Yield the texts in Python code, without docstrings."""
    tree = ast.parse(source)
    skipped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    joined = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    skipped |= {id(part) for node in joined for part in node.values}
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if (is_text or isinstance(node, ast.JoinedStr)) and id(node) not in skipped:
            yield render(node)


@functools.cache
def read_texts() -> dict[str, list[str]]:
    """Return the texts of each module of the sync."""
    return {str(path): list(iter_texts(path.read_text())) for path in sorted(FOLDER.rglob("*.py"))}


def list_allowed_aliases(table: str) -> set[str]:
    """Return the aliases of a table, or of a table whose name is made for each kind."""
    if "{" not in table:
        return {ALIASES[table]}
    if table == "{source}":  # the plan, or a part of it
        return {"d"}
    is_staged = "stag" in table
    return {"s"} if is_staged else {"p", "m"}


def strip_word(alias: str) -> str:
    """Return an alias without the word before it: `t` for `other_t`, but `s_t` for `old_s_t`."""
    while alias not in EVERY_ALIAS and "_" in alias:
        alias = alias.partition("_")[2]
    return alias


def find_problems(text: str) -> Iterator[str]:
    common = re.findall(r"\bWITH (?:RECURSIVE )?(\w+)", text)
    for match in TABLE.finditer(text):
        table, alias = match["table"], match["alias"]
        if "{" not in table and table not in ALIASES:
            if match["before"].strip() and table not in common:
                yield f"{table} is not declared"
        elif alias is not None:
            allowed = list_allowed_aliases(table)
            if strip_word(alias) not in allowed:
                yield f"{table} has the alias {alias}, not {' or '.join(sorted(allowed))}"


def test_success_every_table_is_declared_and_has_its_alias() -> None:
    problems = [
        f"{module}: {problem} in {' '.join(text.split())}"
        for module, texts in read_texts().items()
        for text in filter(SQL.search, texts)
        for problem in find_problems(text)
    ]
    assert problems == []


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("SELECT l.id FROM losses l", "losses has the alias l, not lo"),
        ("FROM lookups s_l", None),
        ("FROM sw_tenants s_t", "sw_tenants has the alias s_t, not t"),
        ("FROM stage_tenants other_s_t", None),
        ("FROM sw_tenants old_t JOIN sw_tenants t ON true", None),
        ("UPDATE {entity.table} AS x SET", "{entity.table} has the alias x, not m or p"),
        ("JOIN stage_{kind} p ON", "stage_{kind} has the alias p, not s"),
        ("INSERT INTO sync_plans (kind) SELECT", "sync_plans is not declared"),
        ("WITH lost AS (SELECT 1) SELECT * FROM lost", None),
    ],
)
def test_success_a_wrong_alias_or_table_is_found(sql: str, problem: str | None) -> None:
    assert list(find_problems(sql)) == ([problem] if problem else [])


def test_success_aliases_are_unique() -> None:
    assert len(set(EVERY_ALIAS)) == len(EVERY_ALIAS)


def test_success_every_declared_table_and_column_is_used() -> None:
    """A column is used in SQL that names its table, or anywhere with the table's alias."""
    everything = [INSERTED.sub("", text) for texts in read_texts().values() for text in texts]
    of_kinds = [text for text in everything if re.search(r"stage_\{|staging_table", text)]
    unused = []
    for name, table in TABLES.items():
        columns = {entity.staging_table: entity.columns for entity in ENTITIES}.get(name, ())
        read = [text for text in everything if SQL.search(text) and re.search(rf"\b{name}\b", text)]
        read += [*(of_kinds if columns else ()), *columns]
        unused += [
            f"{name}.{column}"
            for column in table.columns
            if not any(re.search(rf"\b{column}\b", text) for text in read)
            and not any(
                re.search(rf"\b({table.alias}|{name})\.{column}\b", text) for text in everything
            )
        ]
    assert unused == []


def read_rooms() -> dict[str, int]:
    """Return the number of the room under whose heading each table is declared."""
    rooms, room = {}, 0
    for line in Path(tables.__file__).read_text().splitlines():
        if heading := re.match(r" +# ---- (\w+)", line):
            room = ROOMS.index(heading[1].lower())
        elif declared := re.match(r' +"(\w+)": TemporaryTable', line):
            rooms[declared[1]] = room
    return rooms


def test_success_no_room_names_a_table_of_a_later_room() -> None:
    rooms = read_rooms()
    assert set(rooms) == set(TABLES)
    later = [
        f"{path} names {table}"
        for path, texts in read_texts().items()
        if (room := Path(path).parent.name) in ROOMS
        for text in filter(SQL.search, texts)
        for table in re.findall(r"\w+", text)
        if rooms.get(table, 0) > ROOMS.index(room)
    ]
    assert later == []


def test_success_every_state_is_declared_and_used() -> None:
    everything = [text for texts in read_texts().values() for text in filter(SQL.search, texts)]
    used = {
        word
        for text in everything
        for match in STATES.finditer(text)
        for word in re.findall(r"\w+", match["words"])
    }
    assert used <= {*ClaimState, *Judgment}
    named = {text for path in read_texts() if "states" not in path for text in read_texts()[path]}
    named |= {word for text in everything for word in re.findall(r"'(\w+)'", text)}
    assert {*ClaimState, *Judgment} <= named
    for table, states in (
        ("loss_claims", ClaimState),
        ("removals", Judgment),
    ):
        for text in everything:
            if re.search(rf"UPDATE {table} SET", text) and (match := STATES.search(text)):
                assert set(re.findall(r"\w+", match["words"])) <= set(states), text
