"""Migrations of an empty database from the statements that they executed the first time.

Most of the time that sixty migrations take, Django builds the models as they were before and after
each. A restore, `verify-backup` and `migrate` apply all of them. The first process of a run does so
for real, and writes down what it executes. Later ones execute the same statements.

Only processes of `tests.fork_server` do this, and none at night. Those of tests with the marker
`fresh_interpreter`, and those with a database that is not empty, always apply the migrations.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.migrations.executor import MigrationExecutor

_migrate = MigrationExecutor.migrate
_apply = MigrationExecutor.apply_migration
_NOT_REPEATED = ("SELECT", "PRAGMA", "BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")


@dataclass(frozen=True)
class AppliedMigration:
    """The statements of a migration, with their parameters, and whether these are of many rows."""

    is_atomic: bool
    statements: list[tuple[str, Any, bool]] = field(default_factory=list)


def use_recorded_migrations(directory: Path) -> None:
    """Let Django apply migrations as they were recorded in the directory, or record them there."""

    def migrate(
        executor: Any,
        targets: Any,
        plan: Any = None,
        state: Any = None,
        fake: bool = False,
        fake_initial: bool = False,
    ) -> Any:
        plan = executor.migration_plan(targets) if plan is None else plan
        is_empty = executor.loader.graph.nodes.keys().isdisjoint(executor.loader.applied_migrations)
        if not is_empty or not plan or fake or fake_initial or any(back for _, back in plan):
            return _migrate(executor, targets, plan, state, fake, fake_initial)
        names = " ".join(f"{migration.app_label}.{migration.name}" for migration, _ in plan)
        digest = sha256(names.encode()).hexdigest()[:16]
        file = directory / f"migrations-{executor.connection.vendor}-{digest}"
        if file.exists():
            return _repeat(executor, plan, pickle.loads(file.read_bytes()))  # noqa: S301 - ours
        with _recording(executor.connection) as applied:
            state = _migrate(executor, targets, plan, state)
        draft = file.with_suffix(f".{os.getpid()}")
        draft.write_bytes(pickle.dumps(applied))
        draft.replace(file)
        return state

    MigrationExecutor.migrate = migrate  # type: ignore[assignment,method-assign]


@contextmanager
def _recording(connection: Any) -> Iterator[list[AppliedMigration]]:
    applied: list[AppliedMigration] = []

    def apply(executor: Any, state: Any, migration: Any, **options: Any) -> Any:
        applied.append(AppliedMigration(migration.atomic))
        return _apply(executor, state, migration, **options)

    def execute(run: Any, sql: Any, parameters: Any, many: bool, context: Any) -> Any:
        if applied and not str(sql).lstrip().startswith(_NOT_REPEATED):
            applied[-1].statements.append((str(sql), parameters, many))
        return run(sql, parameters, many, context)

    MigrationExecutor.apply_migration = apply  # type: ignore[assignment,method-assign]
    try:
        with connection.execute_wrapper(execute):
            yield applied
    finally:
        MigrationExecutor.apply_migration = _apply  # type: ignore[method-assign]


def _repeat(executor: Any, plan: Any, applied: list[AppliedMigration]) -> Any:
    """Return the state of the models, from which Django makes permissions and content types."""
    connection = executor.connection
    executor.recorder.ensure_schema()
    state = executor._create_project_state(with_applied_migrations=True)
    with connection.constraint_checks_disabled(), connection.cursor() as cursor:
        for (migration, _), step in zip(plan, applied, strict=True):
            if executor.progress_callback:
                executor.progress_callback("apply_start", migration, False)
            with transaction.atomic(connection.alias) if step.is_atomic else nullcontext():
                for sql, parameters, many in step.statements:
                    (cursor.executemany if many else cursor.execute)(sql, parameters)
                    if cursor.description:  # Rows that are not read lock the table.
                        cursor.fetchall()
            state = migration.mutate_state(state, preserve=False)
            if executor.progress_callback:
                executor.progress_callback("apply_success", migration, False)
    return state
