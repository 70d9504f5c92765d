"""Check that the release before can work with the schema of each new migration.

Hosts are upgraded one after the other, so that old and new code use one database for a while. See
docs/CONTRIBUTING.md. The operations are read and not their SQL, so that the result is the same for
both databases. Prints a line for each problem, and exits with 1 if there is one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping

import django
from django.db.migrations import Migration
from django.db.migrations import operations as ops
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models import NOT_PROVIDED, Field

OLDER: Mapping[str, str] = {
    "federation": "0004_published_as",
    "identity_sync": "0014_dry_run",
    "rooms": "0016_signed_chains",
    "tenants": "0026_messages_erased",
}
"""The last migrations from before this rule."""

_HARMLESS = (
    ops.CreateModel,
    ops.AddIndex,
    ops.RemoveIndex,
    ops.RenameIndex,
    ops.AlterModelOptions,
    ops.AlterModelManagers,
    ops.AlterModelTableComment,
    ops.RemoveConstraint,
)
_NOT_IN_THE_DATABASE = frozenset(
    {"blank", "choices", "db_comment", "default", "help_text", "validators", "verbose_name"}
)
_WIDENING = frozenset({"db_default", "db_index", "max_length", "null"})


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scaiwave.settings")
    django.setup()
    loader = MigrationLoader(None)
    found = False
    for (app, name), migration in sorted(loader.graph.nodes.items()):
        if app in OLDER and name > OLDER[app]:
            state = loader.project_state((app, name), at_end=False)
            for problem in find_problems(migration, state):
                found = True
                print(f"{app}/migrations/{name}.py: {problem}.")
    return int(found)


def find_problems(migration: Migration, state: ProjectState) -> Iterator[str]:
    """Yield what the release before could not work with.

    `state` is the one before the migration, and is changed. A migration says with
    `is_expansion = True` that its other operations don't harm that release.
    """
    serves = any(hasattr(operation, "oldest_served") for operation in migration.operations)
    created: set[str] = set()
    for operation in _flatten(migration.operations):
        name = getattr(operation, "model_name", getattr(operation, "name", "")).lower()
        if isinstance(operation, ops.CreateModel):
            created.add(name)
        elif name not in created and not isinstance(operation, _HARMLESS):
            problem = _judge(operation, state, migration, serves=serves)
            if problem:
                yield f"{operation.describe()}: {problem}"
        operation.state_forwards(migration.app_label, state)


def _flatten(operations: Iterable[Operation]) -> Iterator[Operation]:
    for operation in operations:
        if isinstance(operation, ops.SeparateDatabaseAndState):
            yield from _flatten(operation.database_operations)
        else:
            yield operation


def _judge(operation: Operation, state: ProjectState, migration: Migration, *, serves: bool) -> str:
    match operation:
        case ops.AddField():
            return _judge_new(operation.field)
        case ops.AlterField():
            model = state.models[migration.app_label, operation.model_name_lower]
            return _compare(model.fields[operation.name], operation.field)
        case ops.RemoveField() | ops.DeleteModel():
            return "" if serves else "say from which release on nothing uses it, with ServeFrom"
        case ops.RenameField() | ops.RenameModel() | ops.AlterModelTable():
            return "add the new name and copy; remove the old one a release later"
    if hasattr(operation, "oldest_served") or getattr(migration, "is_expansion", False):
        return ""
    return "say `is_expansion = True` if the release before can work with it, and its rows pass it"


def _judge_new(field: Field[object, object]) -> str:
    if field.many_to_many:
        return ""
    if not field.null and field.db_default is NOT_PROVIDED:
        return "give it db_default or null=True, since the release before writes rows without it"
    if field.unique and not field.null:
        return "the release before writes rows with the same value"
    return ""


def _compare(old: Field[object, object], new: Field[object, object]) -> str:
    _, old_path, _, before = old.deconstruct()
    _, new_path, _, after = new.deconstruct()
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    if old_path != new_path:
        return "it changes the type of a column"
    if old.null and not new.null:
        return "the release before writes NULL"
    if (new.max_length or sys.maxsize) < (old.max_length or sys.maxsize):
        return "it makes a column shorter"
    if rest := sorted(changed - _NOT_IN_THE_DATABASE - _WIDENING):
        return f"it changes {', '.join(rest)}"
    return ""


if __name__ == "__main__":
    sys.exit(main())
