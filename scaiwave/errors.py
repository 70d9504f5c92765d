"""Everything that can go wrong, as one tree.

    ScaiWaveError                     code, message, fix; exit code and HTTP status by branch
    ├── DomainError            1 400  the request makes sense but can't be granted
    │   ├── NotFoundError      1 404  no such thing, or outside the operator's scope
    │   ├── ConflictError      1 409  it exists already, or somebody else is at it
    │   └── RefusedError       1 400  a safety rule said no; nothing was changed
    ├── ConfigurationError     2 500  settings, database or machine are not ready
    │   └── UpstreamError      2 502  another server can't be reached or talks nonsense
    ├── AuthError              3 401  who is asking is not known
    │   └── PermissionDenied   3 403  known, and not allowed
    └── Stopped              130 503  a signal ended it before it was done

Apps derive their own errors from these branches in their `errors.py`. A class that is raised
states a stable `SW_…` code; its message says what happened, its fix what to do about it. The
exit codes are those of the ScaiWave command line (ScaiWave docs, reference/cli), and codes
that the platform already has are reused (ScaiWave docs, reference/error-codes).

Domain errors are not Django's `CommandError`, since jobs, views and the admin raise them too;
`scaiwave.cli.command.OperatorCommand` turns them into exit codes, in one place.
"""

from __future__ import annotations

from typing import Any, ClassVar


class ScaiWaveError(Exception):
    """An error that an operator is meant to read.

    `message` is one sentence about what happened, `fix` one about how to get on, `details`
    what a program may want to know (JSON values only, never a secret).
    """

    code: ClassVar[str] = "SW_INTERNAL"
    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500
    fix: str = ""
    remedy: ClassVar[str] = ""
    """What docs/reference/troubleshooting.md advises, where `fix` is too short for it."""

    def __init__(self, message: str, *, fix: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        if fix is not None:
            self.fix = fix
        self.details = details


class DomainError(ScaiWaveError):
    exit_code = 1
    http_status = 400


class NotFoundError(DomainError):
    http_status = 404


class ConflictError(DomainError):
    http_status = 409


class RefusedError(DomainError):
    http_status = 400


class ConfigurationError(ScaiWaveError):
    exit_code = 2
    http_status = 500


class UpstreamError(ConfigurationError):
    http_status = 502


class AuthError(ScaiWaveError):
    exit_code = 3
    http_status = 401


class PermissionDenied(AuthError):
    http_status = 403


class ProcessInterrupted(ScaiWaveError):
    """Raised by nobody: how a process that a signal ended says so."""

    exit_code = 130
    http_status = 503
    fix = "No transaction was left half done; run the same command again to finish."


class UsageError(ConfigurationError):
    """The words on the command line don't fit; shares exit code 2 with configuration."""

    code = "SW_USAGE"
    http_status = 400


class ConfirmationNeeded(UsageError):
    """A question would have to be asked, and nobody is there to answer it."""

    code = "SW_CONFIRMATION_NEEDED"


class SettingMissing(ConfigurationError):
    code = "SW_CONFIG_MISSING"


class SettingInvalid(ConfigurationError):
    code = "SW_CONFIG_INVALID"


class LibraryMissing(ConfigurationError):
    """This Python lacks a library that the suite needs: most often it is the system's own."""

    code = "SW_LIBRARY_MISSING"
    fix = (
        "Run it with the Python that the suite is installed in, as in "
        "`/opt/scaiwave/venv/bin/python scripts/publish_docs.py`; if that is this one, install "
        "scripts/requirements/runtime.txt again."
    )


class DatabaseUnreachable(ConfigurationError):
    code = "SW_DATABASE_UNREACHABLE"
    http_status = 503


class FileUnwritable(ConfigurationError):
    """A file of this server can't be written."""

    code = "SW_FILE_UNWRITABLE"


class MigrationsPending(ConfigurationError):
    code = "SW_DATABASE_UNMIGRATED"
    fix = "Run `scaiwave manage migrate`, then try again."


class DiskFull(DomainError):
    code = "SW_DISK_FULL"
    http_status = 507
    fix = "Free some space, then run the same command again; nothing was half written."


class UpstreamUnreachable(UpstreamError):
    """Name, TLS, connection or time-out: no answer came back."""

    code = "SW_UPSTREAM_UNREACHABLE"


class UpstreamUnavailable(UpstreamError):
    """An answer came, and it was 5xx or 429 for longer than we are patient."""

    code = "SW_UPSTREAM_UNAVAILABLE"


class UpstreamInvalidResponse(UpstreamError):
    """An answer came that isn't what the vendor documents."""

    code = "SW_UPSTREAM_NONSENSE"


class UpstreamUnauthorized(AuthError):
    """The other server does not accept our credentials."""

    code = "SW_UPSTREAM_CREDENTIALS_REFUSED"


class UpstreamForbidden(PermissionDenied):
    """The other server knows us and says 403 to something within our scope."""

    code = "SW_UPSTREAM_FORBIDDEN"


class UpstreamNotFound(NotFoundError):
    """The other server has no such thing."""

    code = "SW_UPSTREAM_NOT_FOUND"


class Interrupted(ProcessInterrupted):
    code = "SW_INTERRUPTED"


class Terminated(ProcessInterrupted):
    code = "SW_TERMINATED"
    exit_code = 143


class TerminationSignal(KeyboardInterrupt):
    """SIGTERM as an exception. It derives from KeyboardInterrupt, which clean-up code lets pass."""


class InvalidToken(AuthError):
    code = "SW_AUTH_INVALID_TOKEN"
    fix = "Get a new ScaiKey token and export it as SCAIWAVE_ADMIN_TOKEN, or unset that variable."


class ExpiredToken(AuthError):
    code = "SW_AUTH_EXPIRED_TOKEN"
    fix = "Get a new ScaiKey token and export it as SCAIWAVE_ADMIN_TOKEN, or unset that variable."


class TokenRequired(AuthError):
    code = "SW_AUTH_TOKEN_REQUIRED"
    fix = "Export a ScaiKey token as SCAIWAVE_ADMIN_TOKEN."


class InsufficientPermission(PermissionDenied):
    code = "SW_AUTH_INSUFFICIENT_PERMISSION"
