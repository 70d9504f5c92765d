"""Notice a database that a later release has migrated, or this one has not.

New code on old tables may work in part. Old code works on the tables of a later release, if it is
not older than the release that `sw_schema` names: scripts/check refuses what would break it.
Only the migrations of the suite's own applications count: commands do not load all others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.apps import apps
from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from scaiwave import __version__
from scaiwave.core.errors import DatabaseNewer, MigrationsPending
from scaiwave.storage.error_mapping import older_schema_error

OWN_APPS = ("tenants", "identity_sync", "federation", "rooms")
MARK_APP, MARK_PREFIX = "tenants", "incomplete_restore_"
"""The mark of an incomplete restore, in place of a migration, so that every release refuses it. It
names the backup, whose restore may begin again there."""
_MAX_LISTED = 3
_SERVED_QUERY = "SELECT oldest_served FROM sw_schema"
_QUERY = "SELECT app, name FROM django_migrations WHERE app IN (%s, %s, %s, %s) ORDER BY id"


@contextmanager
def known_schema_required(*, allow_older: bool = False, allow_newer: bool = True) -> Iterator[None]:
    """Check the first connection that is opened in this block, with one query.

    The connection raises DatabaseNewer, and is closed, if its database has migrations that this
    code does not have, unless `allow_newer` and it says that it serves this release. It raises
    MigrationsPending if the database lacks some, unless `allow_older`. Nothing is checked, or
    connected to, if the block needs no database.
    """

    def check(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
        try:
            require_known_schema(connection, allow_older=allow_older, allow_newer=allow_newer)
        except (DatabaseNewer, MigrationsPending):
            connection.close()  # The next use must not pass.
            raise
        connection_created.disconnect(check)

    connection_created.connect(check)
    try:
        yield
    finally:
        connection_created.disconnect(check)


def require_known_schema(
    connection: BaseDatabaseWrapper, *, allow_older: bool = False, allow_newer: bool = True
) -> None:
    """Raises DatabaseNewer or MigrationsPending. A database without migrations passes."""
    names = _read_applied(connection)
    if _is_incomplete(names):
        raise MigrationsPending(
            "The database is incomplete: restoring a backup into it was interrupted.",
            fix="Run the same `scaiwave admin restore` again, or create another database.",
        )
    if not (allow_newer and is_served_by_later_schema(connection, names)):
        require_known_migrations(names)
    if names and not allow_older and set(_iter_known()).difference(names):
        raise older_schema_error()


def is_served_by_later_schema(
    connection: BaseDatabaseWrapper, names: Iterable[str] | None = None
) -> bool:
    """Whether a later release has migrated the database, and left it fit for this one.

    `names` are the migrations of the database, if they are known.
    """
    applied = _read_applied(connection) if names is None else names
    if set(applied) <= set(_iter_known()):
        return False
    try:
        with connection.cursor() as cursor:
            cursor.execute(_SERVED_QUERY)
            row = cursor.fetchone()
    except Error:  # No release before 0.4 can work with a later schema.
        return False
    return row is not None and _parse(row[0]) <= _parse(__version__)


def _parse(release: str) -> list[int]:
    """Return the numbers of a release, such as 0.4.0, of which 0.4.0.dev0 is a part."""
    return [int(number) for number in release.split(".")[:3]]


def is_migrated(connection: BaseDatabaseWrapper, app: str = "") -> bool | None:
    """Whether the database has every migration of this code, or of one app, with one query.

    None if it has none, or can't be read. False after an interrupted restore.
    """
    names = _read_applied(connection)
    known = (name for name in _iter_known() if name.startswith(app))
    return not (set(known).difference(names) or _is_incomplete(names)) if names else None


def _is_incomplete(names: Iterable[str]) -> bool:
    return any(name.startswith(f"{MARK_APP}.{MARK_PREFIX}") for name in names)


def _read_applied(connection: BaseDatabaseWrapper) -> list[str]:
    """Return app.name of the migrations of the database; none if it can't be read."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(_QUERY, OWN_APPS)
            return [f"{app}.{name}" for app, name in cursor.fetchall()]
    except Error:
        return []


def require_known_migrations(applied: Iterable[str], *, subject: str = "The database") -> None:
    """Raises DatabaseNewer for a migration, as app.name, that this code does not have."""
    known = set(_iter_known())
    if not (unknown := [name for name in applied if name not in known]):
        return
    more = f" and {len(unknown) - _MAX_LISTED} more" if len(unknown) > _MAX_LISTED else ""
    raise DatabaseNewer(
        f"{subject} was migrated by a later release than this one ({__version__}), which does "
        f"not know {', '.join(unknown[:_MAX_LISTED])}{more}. No changes were made."
    )


def _iter_known() -> Iterator[str]:
    """Yield app.name of the migrations of this code, without importing them."""
    for app in OWN_APPS:
        if apps.is_installed(app):
            for file in Path(apps.get_app_config(app).path, "migrations").glob("[0-9]*.py"):
                yield f"{app}.{file.stem}"
