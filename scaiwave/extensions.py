"""The extension table: functions of upper apps that a lower app calls without importing them.

Each entry names a function by its dotted path, which is imported when it is first needed, and has
the signature of the function as its type. To extend a lower app, write the function in yours and
add its path here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast
from uuid import UUID

from django.utils.module_loading import import_string

if TYPE_CHECKING:
    from django.db.models import Model, Q, QuerySet

    from scaiwave.config import Configuration
    from scaiwave.core.errors import NotRegistered
    from scaiwave.core.mentions import ErasedTenant
    from scaiwave.core.operators import Operator
    from scaiwave.core.signatures import ServerSigner

F = TypeVar("F")


@dataclass(frozen=True)
class Extension(Generic[F]):
    """A function of an upper app, or another value of one of its modules."""

    path: str

    def load(self) -> F:
        return cast(F, import_string(self.path))


@dataclass(frozen=True)
class PurgedPerson:
    """A person whose personal data is erased, with the values to look for.

    `texts` are the display name and the e-mail address. `operator_names` are the texts that name
    the person as an operator in records, as they are and in lower case, except texts that are
    someone else's too.
    """

    participant_id: UUID
    scaikey_id: str
    texts: frozenset[str]
    operator_names: frozenset[str]


@dataclass(frozen=True)
class TenantTable:
    """A table with rows of tenants; tables that it refers to come before it.

    `model` is the label of its model, and `tenant` the look-up of a row's tenant ID. In an export
    of a tenant its rows are in `file`; without one, `reason` is where they are, or why not.
    Rows of a table that `is_record` stay when the tenant is erased.
    """

    model: str
    file: str = ""
    reason: str = ""
    tenant: str = "tenant_id"
    is_record: bool = False


class TenantPlace(Protocol):
    """Where there is something of a tenant that is in no row of its own."""

    @property
    def name(self) -> str: ...

    def count(self, tenant: ErasedTenant, /) -> int: ...

    def erase(self, tenant: ErasedTenant, /) -> None:
        """Erase it, in short transactions; once more does no harm."""


class MessageEraser(Protocol):
    """Erases what a participant wrote, in batches; returns how many messages, reactions and files.

    In a dry run it only counts them.
    """

    def __call__(
        self, operator: Operator, person: Model, reason: str, now: datetime, /, *, dry_run: bool
    ) -> Mapping[str, int]: ...


class FigureSource(Protocol):
    """A figure of tenants, as an expression that sorts and filters lists."""

    @property
    def model(self) -> type[Model]: ...

    @property
    def build(self) -> Callable[[datetime], object]: ...


class TotalSource(FigureSource, Protocol):
    """One that adds up rows of each tenant; `tenants.people.queries.figures` has the class."""

    def __call__(self, tenant_ids: Collection[UUID], /) -> Mapping[UUID, int]: ...

    def list_tenants_from(self, least: object, /) -> QuerySet[Model]: ...

    def load_sums(self, tenants: QuerySet[Any] | None, /) -> dict[UUID, int]: ...

    def sum_by_tenant(self) -> QuerySet[Any]: ...


@dataclass(frozen=True)
class OperatorScope:
    """The partner or tenant that an operator's role reaches.

    `blocker` is why no one may act for it, None if they may. `tenant_ids` are its tenants, None if
    finding them takes another query.
    """

    blocker: str | None = None
    tenant_ids: Sequence[UUID] | None = None


class OverviewLoader(Protocol):
    def __call__(
        self, now: datetime, operator: Operator | None, after: datetime | None, /
    ) -> dict[str, Any]: ...


@dataclass(frozen=True)
class SignOutForm:
    """The form that a browser posts to ScaiKey, to end the session there."""

    address: str
    fields: Mapping[str, str]


TENANT_TOTALS: Mapping[str, Extension[TotalSource]] = {
    "rooms": Extension("rooms.lookup.tenant_figures.ROOMS"),
    "storage_bytes": Extension("rooms.lookup.tenant_figures.STORAGE"),
}
"""Columns of list-tenants and show-tenant."""
TENANT_FILTER_TOTALS: Mapping[str, Extension[TotalSource]] = {
    "skipped_removals": Extension("identity_sync.reports.tenant_figures.SKIPPED_REMOVALS"),
    "skipped_rows": Extension("identity_sync.reports.tenant_figures.SKIPPED_ROWS"),
}
"""Totals for filters of tenants; no page shows them."""
TENANT_FIGURES: Mapping[str, Extension[FigureSource]] = {
    "last_activity_at": Extension("rooms.lookup.tenant_figures.LAST_ACTIVITY"),
    "last_sync_at": Extension("identity_sync.reports.tenant_figures.LAST_SYNC"),
}
STATUS_HISTORY: Extension[Callable[[UUID], datetime | None]]
STATUS_HISTORY = Extension("identity_sync.reports.runs.find_status_change")
"""When the status of a row in ScaiKey changed last; None if that is not known."""
STATUS_HISTORY_MODEL = "identity_sync.SyncChange"
"""What an account must be allowed to see for it."""
PARTICIPANT_FACTS: Sequence[Extension[Callable[[UUID], Sequence[tuple[str, object]]]]] = (
    Extension("identity_sync.removals.queries.describe_removals_of_participant"),
)
"""Pairs of title and value about a participant, for show-participant."""
TENANT_REMOVALS: Extension[Callable[[UUID], Mapping[str, int]]]
TENANT_REMOVALS = Extension("identity_sync.removals.queries.count_removals_of_tenant")
"""The number of pending removals of a tenant, for show-tenant, by their state."""
PARTICIPANT_CHANGES: Extension[Callable[[UUID], Sequence[Mapping[str, object]]]]
PARTICIPANT_CHANGES = Extension("identity_sync.reports.runs.find_changes_of_participant")
"""Changes of a participant for show-participant, newest first."""
PEOPLE_OF_HELD_ROOMS: Extension[Callable[[], Q]]
PEOPLE_OF_HELD_ROOMS = Extension("rooms.lookup.holds.people_of_held_rooms")
"""A condition on participants: those whose rows a hold on a room covers."""
ROOM_NAMES: Extension[Callable[[Collection[UUID]], Mapping[UUID, str]]]
ROOM_NAMES = Extension("rooms.lookup.holds.load_room_names")
"""The names of rooms; a deleted one has none."""
ROOM_FINDER: Extension[Callable[[Operator, str, Model], UUID]]
ROOM_FINDER = Extension("rooms.lookup.holds.find_room_id")
"""The ID of the room that an operator names in a tenant, even if it is about to be deleted."""
ROLE_USES: Extension[Callable[[UUID, str], Sequence[str]]]
ROLE_USES = Extension("rooms.lookup.tenant_stats.rooms_using_role")
"""What in a tenant uses a role of this slug, as texts."""
PERSONAL_DATA_ERASERS: Sequence[Extension[Callable[[Sequence[PurgedPerson], str], None]]] = (
    Extension("rooms.people.erase_avatars.erase_avatars"),  # which the next one makes unfindable
    Extension("rooms.messages.erase_senders.erase_senders"),
    Extension("identity_sync.sync.record.erase_names.erase_names"),
    Extension("tenants.accounts.administrators.erase_accounts"),
    Extension("scaiwave.operations.doctor.stored_report.erase_from_health_report"),
)
"""They erase what an app has stored about people, in the caller's transaction, and write the text
in place of their names."""
TENANT_TABLES: Sequence[Extension[Callable[[], Sequence[TenantTable]]]] = (
    Extension("tenants.lookup.tenant_tables.list_tables"),
    Extension("rooms.lookup.tenant_tables.list_tables"),
    Extension("identity_sync.reports.tenant_tables.list_tables"),
)
"""Every table that reaches a tenant, in the order of insertion."""
MESSAGE_ERASER: Extension[MessageEraser] = Extension("rooms.people.erase_messages.erase_messages")
TENANT_PLACES: Sequence[Extension[Callable[[], Sequence[TenantPlace]]]] = (
    Extension("tenants.accounts.tenant_places.list_places"),
    Extension("identity_sync.reports.tenant_tables.list_places"),
    Extension("rooms.erasure.places.list_places"),
    Extension("scaiwave.operations.jobs.tenant_places.list_places"),
)
"""The places of each app with something of a tenant beside its rows."""
SYNC_LOCK: Extension[Callable[[], AbstractContextManager[None]]]
SYNC_LOCK = Extension("identity_sync.sync.lock.sync_lock")
"""Takes the lock until the end of the block, or raises the error that names who has it."""
OPERATOR_SCOPE: Extension[Callable[[Operator], OperatorScope]]
OPERATOR_SCOPE = Extension("tenants.accounts.callers.find_scope")
VISIBLE_TENANTS: Extension[Callable[[Operator], QuerySet[Model]]]
VISIBLE_TENANTS = Extension("tenants.lookup.visibility.visible_tenants")
ERASING_TENANTS: Extension[Callable[[], QuerySet[Any, Any]]]
ERASING_TENANTS = Extension("tenants.lookup.visibility.erasing_tenants")
"""The IDs of tenants that are being erased."""
IMPORTING_TENANTS: Extension[Callable[[], QuerySet[Model]]]
IMPORTING_TENANTS = Extension("rooms.lookup.tenant_stats.importing_tenants")
"""Tenants that an import has suspended until its end."""
TENANT_SLUG: Extension[Callable[[str], str | None]]
TENANT_SLUG = Extension("tenants.lookup.visibility.scaikey_tenant_slug")
"""The slug in a tenant's addresses at ScaiKey by its ScaiKey ID; None if unknown."""
MANUAL_SUSPENSION: Extension[Callable[[str], bool]]
MANUAL_SUSPENSION = Extension("tenants.accounts.callers.is_suspended_manually")
"""Whether this server has suspended a ScaiKey user manually."""
APPLICATION_SCOPE: Extension[Callable[[str], str]]
APPLICATION_SCOPE = Extension("identity_sync.reports.status.find_application_scope")
"""The scope of the application with a client ID: GLOBAL, PARTNER, TENANT, or empty if unknown."""
MISSING_REGISTRATION: Extension[Callable[[Configuration], NotRegistered]]
MISSING_REGISTRATION = Extension("identity_sync.registration.missing.describe_missing_registration")
"""The error of a server without credentials: how far its registration has come."""
SERVER_SIGNER: Extension[Callable[[], ServerSigner]]
SERVER_SIGNER = Extension("federation.keys.server_signer.FederationSigner")
OVERVIEW: Extension[OverviewLoader]
OVERVIEW = Extension("scaiwave.operations.overview.stored.load_overview")
"""The stored overview of the admin site, which is built again once it is old. Its operator is
someone who sees only some tenants; without one it is about the whole server. An overview from
before the last argument, the time of the reader's last act, is old."""
REPORT_PROBLEMS: Extension[Callable[[], None]]
REPORT_PROBLEMS = Extension("scaiwave.operations.notifications.news.report_problems")
"""Reports problems of this server by e-mail, once."""
WATCH_PROBLEMS: Extension[Callable[[], None]]
WATCH_PROBLEMS = Extension("scaiwave.operations.notifications.news.start_watching")
"""Does the same in a thread until the process ends."""
EXPORT_RECORDER: Extension[Callable[[Operator, object, datetime], None]]
EXPORT_RECORDER = Extension("tenants.audit.record_list_export.record_list_export")
"""Records the export of a list of the admin site in the audit log."""
SIGN_OUT_FORM: Extension[Callable[[str], SignOutForm | None]]
SIGN_OUT_FORM = Extension("tenants.accounts.oidc.views.build_sign_out_form")
"""The form for an ID token, which may be empty; None if ScaiKey has no address."""
