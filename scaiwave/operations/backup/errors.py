"""Errors of backups.

NotFoundError
└── BackupNotFound               the directory is not a backup
RefusedError
├── BackupDamaged                a file or table differs from the manifest
└── BackupUntrusted              no known key has signed the manifest
ConflictError
└── DatabaseNotEmpty             a backup is restored only into an empty database
ConfigurationError
├── DatabaseToolUnusable         a program of PostgreSQL is missing or too old
└── DatabaseToolFailed           a program of PostgreSQL failed
"""

from __future__ import annotations

from scaiwave.core.errors import ConfigurationError, ConflictError, NotFoundError, RefusedError


class BackupNotFound(NotFoundError):
    """The directory does not contain a backup that this release can read."""

    code = "SW_BACKUP_NOT_FOUND"
    fix = "Name a directory that `scaiwave admin backup` has created: it contains manifest.json."


class BackupDamaged(RefusedError):
    """A file of the backup is missing or was changed, or a restored table has other rows than the
    server had."""

    code = "SW_BACKUP_DAMAGED"
    fix = "Use another backup, or copy this one again from where it was stored first."


class BackupUntrusted(RefusedError):
    """No key that is known here has signed the manifest. A key inside a backup proves nothing."""

    code = "SW_BACKUP_UNTRUSTED"
    fix = (
        "On another host, pass --fingerprint with the fingerprint that `scaiwave admin backup` "
        "printed, from the place where you noted it."
    )


class DatabaseNotEmpty(ConflictError):
    """A backup is restored only into a new, empty database, so that no data is overwritten."""

    code = "SW_DATABASE_NOT_EMPTY"
    fix = "Name another database, which is empty, or a file that does not exist."


class DatabaseToolUnusable(ConfigurationError):
    """A program of PostgreSQL is missing, or older than PostgreSQL or the backup."""

    code = "SW_DATABASE_TOOL_UNUSABLE"
    remedy = (
        "Install the client programs of the release of PostgreSQL that the error names or a later "
        "one, such as Debian's `postgresql-client`, and check that `pg_dump --version` finds them. "
        "`verify-backup` also runs `initdb` and `postgres`, such as Debian's `postgresql`."
    )


class DatabaseToolFailed(ConfigurationError):
    """A program of PostgreSQL failed. No backup was created, or nothing was restored."""

    code = "SW_DATABASE_TOOL_FAILED"
    fix = "Correct the fault that the program reports, then run the same command again."
