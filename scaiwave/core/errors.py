"""The tree of errors.

    ScaiWaveError                     code, message, fix; exit code and HTTP status by branch
    ├── DomainError            1 400  the request makes sense but can't be granted
    │   ├── NotFoundError      1 404  no such object, or outside the operator's scope
    │   ├── ConflictError      1 409  it exists already, or another process uses it
    │   └── RefusedError       1 400  a safety rule forbids it; nothing was changed
    ├── ConfigurationError     2 500  settings, database or host are not ready
    │   └── UpstreamError      2 502  another server can't be reached, or its response is invalid
    ├── AuthError              3 401  the caller is not known
    │   └── PermissionDenied   3 403  the caller is known, but not allowed
    └── ProcessInterrupted   130 503  a signal ended the process

Apps derive their own errors from these branches in their `errors.py`. A class that is raised has a
stable `SW_…` code; its message states what failed, its fix what to do. The first paragraph of its
docstring and its `remedy` are the code's row in docs/reference/troubleshooting.md, so they address
operators. The exit codes are given by the ScaiWave command line (ScaiWave docs, reference/cli), and
codes that the platform already has are reused (ScaiWave docs, reference/error-codes).

Domain errors are not Django's `CommandError`, since jobs, views and the admin raise them too.
`scaiwave.cli.command.OperatorCommand` turns all of them into exit codes.
"""

from __future__ import annotations

from typing import Any, ClassVar


class ScaiWaveError(Exception):
    """A defect of the suite.

    Subclasses are the errors that an operator can cause or fix. `message` is one sentence about
    what failed, `fix` one about what to do. `details` are for programs: JSON values only, never a
    secret.
    """

    code: ClassVar[str] = "SW_INTERNAL"
    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500
    fix: str = ""
    command: str = ""
    """The command that `fix` names, for pages that offer it."""
    remedy: ClassVar[str] = "[Report it](#when-it-is-a-defect)."
    """The advice in docs/reference/troubleshooting.md, where `fix` is too short or varies."""

    def __init__(
        self, message: str, *, fix: str | None = None, command: str | None = None, **details: Any
    ) -> None:
        super().__init__(message)
        self.message = message
        if fix is not None:
            self.fix = fix
        if command is not None:
            self.command = command
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
    """A signal ended the process. It is reported, not raised."""

    exit_code = 130
    http_status = 503
    fix = "No transaction was left half done; run the same command again to finish."


class UsageError(ConfigurationError):
    """The command line is invalid: an unknown command or option, or options that conflict."""

    code = "SW_USAGE"
    http_status = 400
    remedy = (
        "The error names the nearest command. `scaiwave help <command>` shows options and examples."
    )


class ConfirmationNeeded(UsageError):
    """The command needs a confirmation, and there is no terminal to ask at."""

    code = "SW_CONFIRMATION_NEEDED"
    remedy = (
        "Run it at a terminal, or pass the option that the error names, such as `--yes` for yes."
    )


class SettingMissing(ConfigurationError):
    """A setting that this command needs is not set."""

    code = "SW_CONFIG_MISSING"
    remedy = (
        "Set it in the environment or in the configuration file. See "
        "[Configuration](configuration.md)."
    )


class NotRegistered(SettingMissing):
    """The configuration has no credentials for ScaiKey."""

    code = "SW_SYNC_NOT_REGISTERED"
    fix = "Run `scaiwave sync register`."


class CredentialsIncomplete(NotRegistered):
    """The configuration has a part of the credentials for ScaiKey."""

    code = "SW_SYNC_CREDENTIALS_INCOMPLETE"
    remedy = (
        "Set it in the environment or in the configuration file, as `scaiwave sync register` wrote "
        "it, or restore that file from a backup. Without one, register again: `scaiwave sync "
        "register`."
    )


class SettingInvalid(ConfigurationError):
    """A setting has an invalid value, or a configuration file can't be read."""

    code = "SW_CONFIG_INVALID"
    remedy = (
        "Set it as the error says. `scaiwave sync show-config` shows where each value comes from."
    )


class LibraryMissing(ConfigurationError):
    """This Python lacks a library that the suite needs; often it is the system's own Python."""

    code = "SW_LIBRARY_MISSING"
    fix = (
        "Run it with the Python that the suite is installed in, as in "
        "`/opt/scaiwave/venv/bin/python scripts/publish_docs.py`; if that is this one, install "
        "scripts/requirements/runtime.txt again."
    )


class WebLibrariesMissing(ConfigurationError):
    """Only the libraries of the command line are installed, without the web server's."""

    code = "SW_WEB_LIBRARIES_MISSING"
    fix = (
        "Install them with `pip install 'scaiwave[web]'`, or in a checkout with "
        "`pip install --require-hashes -r scripts/requirements/web.txt`."
    )


class DatabaseUnreachable(ConfigurationError):
    """The database can't be used: no connection, rejected credentials, a lost connection, or an
    SQLite file that can't be opened.
    """

    code = "SW_DATABASE_UNREACHABLE"
    http_status = 503
    remedy = (
        "Follow the error. Check SCAIWAVE_DB_URL with `scaiwave sync show-config`, then whether "
        "the database server runs and accepts connections from this host."
    )


class DatabaseLost(DatabaseUnreachable):
    """The database stopped responding while it was used, so the connection was ended."""

    code = "SW_DATABASE_LOST"
    remedy = (
        "Check the network between this host and the database, a pooler or firewall on the way, "
        "and whether the host of the database hangs. Then run the same command again."
    )


class LostAfterCommit(ConfigurationError):
    """The connection to the database was lost after it had saved changes, before the command
    ended.
    """

    code = "SW_DATABASE_LOST_AFTER_COMMIT"
    remedy = (
        "The error lists the saved changes, and names the command that shows them. Run the same "
        "command again only if something is missing there."
    )


class CommitUnknown(ConfigurationError):
    """The connection was lost while the database saved changes, and it can't be asked whether it
    has.
    """

    code = "SW_DATABASE_COMMIT_UNKNOWN"
    remedy = (
        "When the database can be reached again, run the command that the error names. If the "
        "changes are not there, run the same command again."
    )


class FileUnwritable(ConfigurationError):
    """A file of this server, such as its configuration, can't be read or replaced."""

    code = "SW_FILE_UNWRITABLE"
    remedy = "Give the directory of the file that the error names to the user that runs the suite."


class FileExists(ConflictError):
    """The file to write exists already."""

    code = "SW_FILE_EXISTS"
    fix = "Pass --force to replace it, or name another file."


class MigrationsPending(ConfigurationError):
    """The database is older than the code."""

    code = "SW_DATABASE_UNMIGRATED"
    http_status = 503
    fix = "Run `scaiwave manage migrate`, then try again."


class DatabaseNewer(ConfigurationError):
    """A later release has migrated the database. No changes were made."""

    code = "SW_DATABASE_NEWER"
    http_status = 503
    fix = (
        "Run the release that migrated it, or a later one: `scaiwave --version` shows this one. "
        "To go back, restore the backup from before the upgrade."
    )


class DiskFull(DomainError):
    """No space is left on a disk or in the database."""

    code = "SW_DISK_FULL"
    http_status = 507
    fix = "Free some space, then run the same command again; nothing was half written."


class OutputLost(DomainError):
    """The command has done its work, but its output could not be written."""

    code = "SW_OUTPUT_LOST"
    http_status = 500
    remedy = (
        "Do not run the command again. The error lists the work that is done, and the command that "
        "shows it."
    )


class UpstreamUnreachable(UpstreamError):
    """Another server sent no response: DNS, TLS, connection or time-out."""

    code = "SW_UPSTREAM_UNREACHABLE"
    remedy = (
        "The error names the cause. Check the address, DNS, firewall and certificates from this "
        "host."
    )


class UpstreamUnavailable(UpstreamError):
    """Another server responded with 5xx or 429 to every attempt."""

    code = "SW_UPSTREAM_UNAVAILABLE"
    remedy = "Wait, check that server's log, then run the same command again."


class UpstreamInvalidResponse(UpstreamError):
    """Another server sent a response that is not as it documents. A sync changed nothing."""

    code = "SW_UPSTREAM_NONSENSE"
    remedy = (
        "Check the setting with its address. If that is correct, report it to the operator of "
        "that server."
    )


class UpstreamUnauthorized(AuthError):
    """Another server rejected this server's credentials (401)."""

    code = "SW_UPSTREAM_CREDENTIALS_REFUSED"
    remedy = (
        "Check the client ID and secret, or the key, that the error names. For ScaiKey, check "
        "also that the application may use client credentials."
    )


class UpstreamForbidden(PermissionDenied):
    """Another server does not allow the request (403). A sync changed nothing."""

    code = "SW_UPSTREAM_FORBIDDEN"
    remedy = "Ask the operator of that server for the permission."


class UpstreamNotFound(NotFoundError):
    """Another server has no such object."""

    code = "SW_UPSTREAM_NOT_FOUND"
    remedy = "Check the ID or the name, and the address of that server."


class Interrupted(ProcessInterrupted):
    """Ctrl-C ended the command."""

    code = "SW_INTERRUPTED"


class Terminated(ProcessInterrupted):
    """SIGTERM ended the command, for example when a service stopped."""

    code = "SW_TERMINATED"
    exit_code = 143


class TerminationSignal(KeyboardInterrupt):
    """SIGTERM as an exception; a KeyboardInterrupt, so that `except Exception` lets it pass."""


class TimeLimitSignal(KeyboardInterrupt):
    """The end of a time limit as an exception, for the same reason a KeyboardInterrupt."""


class InvalidToken(AuthError):
    """The token is not valid: malformed, wrongly signed, from another issuer, issued for another
    application, or an ID token instead of an access token. A token that is set is never ignored.
    """

    code = "SW_AUTH_INVALID_TOKEN"
    fix = "Get a new ScaiKey token and export it as SCAIWAVE_ADMIN_TOKEN, or unset that variable."


class ExpiredToken(AuthError):
    """The token in SCAIWAVE_ADMIN_TOKEN, or in the request, has expired."""

    code = "SW_AUTH_EXPIRED_TOKEN"
    fix = "Get a new ScaiKey token and export it as SCAIWAVE_ADMIN_TOKEN, or unset that variable."


class TokenRequired(AuthError):
    """SCAIWAVE_REQUIRE_ADMIN_TOKEN is on and no token is set; over HTTP: the request has no bearer
    token.
    """

    code = "SW_AUTH_TOKEN_REQUIRED"
    fix = "Export a ScaiKey token as SCAIWAVE_ADMIN_TOKEN."


class InsufficientPermission(PermissionDenied):
    """The operator's role does not allow this command; over HTTP: the caller is not an active
    participant of the tenant.
    """

    code = "SW_AUTH_INSUFFICIENT_PERMISSION"
    remedy = (
        "Ask an operator with a role that the error names. `scaiwave admin show-participant` "
        "shows why a person can't sign in. See [Permissions](permissions.md)."
    )
