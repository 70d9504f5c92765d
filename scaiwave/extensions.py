"""The extension table: functions of upper apps that a lower app calls without importing them.

Each entry names a function by its dotted path, which is imported when it is first needed, and has a
protocol as its type. To extend a lower app, write the function in yours and add its path here.
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


class TenantColumn(Protocol):
    """A column of list-tenants and show-tenant; tenants without a value are unknown."""

    def __call__(self, tenant_ids: Collection[UUID], /) -> Mapping[UUID, Any]: ...


class ParticipantFacts(Protocol):
    """Pairs of title and value about a participant, for show-participant."""

    def __call__(self, participant_id: UUID, /) -> Sequence[tuple[str, Any]]: ...


class TenantRemovals(Protocol):
    """The number of pending removals of a tenant, for show-tenant, by their state."""

    def __call__(self, tenant_id: UUID, /) -> Mapping[str, int]: ...


class ParticipantChanges(Protocol):
    """Changes of a participant for show-participant, newest first."""

    def __call__(self, participant_id: UUID, /) -> Sequence[Mapping[str, Any]]: ...


class HeldPeopleSource(Protocol):
    """A condition on participants: those whose rows a hold on a room covers."""

    def __call__(self) -> Q: ...


class RoomNames(Protocol):
    """The names of rooms; a deleted one has none."""

    def __call__(self, room_ids: Collection[UUID], /) -> Mapping[UUID, str]: ...


class RoomFinder(Protocol):
    """The ID of the room that an operator names, even if it is about to be deleted."""

    def __call__(self, operator: Operator, name: str, tenant: Any, /) -> UUID: ...


class RoleUses(Protocol):
    """What in a tenant uses a role of this slug, as texts."""

    def __call__(self, tenant_id: UUID, slug: str, /) -> Sequence[str]: ...


@dataclass(frozen=True)
class PurgedPerson:
    """A person whose personal data is erased, with the values to look for.

    `fqid` is @local_id:server_name. `texts` are the display name and the e-mail address.
    `operator_names` are the texts by which records name the person as an operator, as they are and
    in lower case, except texts that are someone else's too.
    """

    participant_id: UUID
    scaikey_id: str
    fqid: str
    texts: frozenset[str]
    operator_names: frozenset[str]


class PersonalDataEraser(Protocol):
    """Erases what an app has stored about people, in the caller's transaction.

    `replacement` is the name that replaces theirs.
    """

    def __call__(self, people: Sequence[PurgedPerson], replacement: str, /) -> None: ...


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


class TenantPlaceList(Protocol):
    """The places of an app with something of a tenant beside its rows."""

    def __call__(self) -> Sequence[TenantPlace]: ...


class LockFactory(Protocol):
    """Takes a lock until the end of the block, or raises the error that names who has it."""

    def __call__(self) -> AbstractContextManager[None]: ...


class TenantTableList(Protocol):
    """The tables of an app that reach a tenant."""

    def __call__(self) -> Sequence[TenantTable]: ...


class MessageEraser(Protocol):
    """Erases what a participant wrote, in batches; returns how many messages, reactions and files.

    In a dry run it only counts them.
    """

    def __call__(
        self, operator: Operator, person: Any, reason: str, now: datetime, /, *, dry_run: bool
    ) -> Mapping[str, int]: ...


class TotalSource(Protocol):
    """A figure that adds up rows of each tenant; `tenants.people.queries.figures` has the class."""

    @property
    def rows(self) -> Callable[[], QuerySet[Any]]: ...

    def build(self) -> Any: ...

    def list_tenants_from(self, least: Any, /) -> QuerySet[Any]: ...

    def load_sums(self, tenants: QuerySet[Any] | None, /) -> dict[UUID, int]: ...

    def sum_by_tenant(self) -> QuerySet[Any]: ...


class FigureSource(Protocol):
    """Any other figure of tenants, as an expression that sorts and filters lists."""

    @property
    def build(self) -> Callable[[], Any]: ...

    @property
    def model(self) -> type[Model]: ...


class StatusHistory(Protocol):
    """When the status of a row in ScaiKey changed last; None if that is not known."""

    def __call__(self, row_id: UUID, /) -> datetime | None: ...


@dataclass(frozen=True)
class OperatorScope:
    """The partner or tenant that an operator's role reaches.

    `blocker` is why no one may act for it, None if they may. `tenant_ids` are its tenants, None if
    finding them takes another query.
    """

    blocker: str | None = None
    tenant_ids: Sequence[UUID] | None = None


class ScopeFinder(Protocol):
    """Finds what an operator's role reaches."""

    def __call__(self, operator: Operator, /) -> OperatorScope: ...


class VisibleTenantFinder(Protocol):
    """The tenants within an operator's scope."""

    def __call__(self, operator: Operator, /) -> QuerySet[Any]: ...


class ErasingTenantFinder(Protocol):
    """The IDs of tenants that are being erased."""

    def __call__(self) -> QuerySet[Any, Any]: ...


class TenantSlugFinder(Protocol):
    """Finds the slug in a tenant's addresses at ScaiKey by its ScaiKey ID; None if unknown."""

    def __call__(self, scaikey_tenant_id: str, /) -> str | None: ...


class SuspensionCheck(Protocol):
    """Whether this server has suspended a ScaiKey user manually."""

    def __call__(self, scaikey_id: str, /) -> bool: ...


class ApplicationScopeFinder(Protocol):
    """The scope of this server's application: GLOBAL, PARTNER or TENANT; empty if unknown."""

    def __call__(self, client_id: str, /) -> str: ...


class RegistrationDescriber(Protocol):
    """The error of a server without credentials: how far its registration has come."""

    def __call__(self, config: Configuration, /) -> NotRegistered: ...


class SignerFactory(Protocol):
    """Returns what signs with the key of this server."""

    def __call__(self) -> ServerSigner: ...


class OverviewLoader(Protocol):
    """Returns the stored overview of the admin site, which is built again once it is old.

    `operator` is someone who sees only some tenants; None is about the whole server.
    """

    def __call__(self, now: datetime, operator: Operator | None = None, /) -> dict[str, Any]: ...


class ProblemReporter(Protocol):
    """Reports problems of this server by e-mail: once, or in a thread until the process ends."""

    def __call__(self) -> None: ...


class ExportRecorder(Protocol):
    """Records the export of a list of the admin site in the audit log."""

    def __call__(self, operator: Operator, export: Any, now: datetime, /) -> None: ...


@dataclass(frozen=True)
class SignOutForm:
    """The form that a browser posts to ScaiKey, to end the session there."""

    address: str
    fields: Mapping[str, str]


class SignOutFormBuilder(Protocol):
    """Returns the form for an ID token, which may be empty; None if ScaiKey has no address."""

    def __call__(self, id_token: str, /) -> SignOutForm | None: ...


TENANT_COLUMNS: Mapping[str, Extension[TenantColumn]] = {
    "rooms": Extension("rooms.lookup.tenant_stats.rooms_per_tenant"),
    "storage_bytes": Extension("rooms.lookup.tenant_stats.storage_per_tenant"),
}
TENANT_TOTALS: Mapping[str, Extension[TotalSource]] = {
    "rooms": Extension("rooms.lookup.tenant_figures.ROOMS"),
    "storage_bytes": Extension("rooms.lookup.tenant_figures.STORAGE"),
}
TENANT_FILTER_TOTALS: Mapping[str, Extension[TotalSource]] = {
    "skipped_removals": Extension("identity_sync.reports.tenant_figures.SKIPPED_REMOVALS"),
    "skipped_rows": Extension("identity_sync.reports.tenant_figures.SKIPPED_ROWS"),
}
"""Totals for filters of tenants; no page shows them."""
TENANT_FIGURES: Mapping[str, Extension[FigureSource]] = {
    "last_activity_at": Extension("rooms.lookup.tenant_figures.LAST_ACTIVITY"),
    "last_sync_at": Extension("identity_sync.reports.tenant_figures.LAST_SYNC"),
}
STATUS_HISTORY: Extension[StatusHistory] = Extension(
    "identity_sync.reports.runs.find_status_change"
)
STATUS_HISTORY_MODEL = "identity_sync.SyncChange"
"""What an account must be allowed to see for it."""
PARTICIPANT_FACTS: Sequence[Extension[ParticipantFacts]] = (
    Extension("identity_sync.removals.queries.describe_removals_of_participant"),
)
TENANT_REMOVALS: Extension[TenantRemovals] = Extension(
    "identity_sync.removals.queries.count_removals_of_tenant"
)
PARTICIPANT_CHANGES: Extension[ParticipantChanges] = Extension(
    "identity_sync.reports.runs.find_changes_of_participant"
)
PEOPLE_OF_HELD_ROOMS: Extension[HeldPeopleSource] = Extension(
    "rooms.lookup.holds.people_of_held_rooms"
)
ROOM_NAMES: Extension[RoomNames] = Extension("rooms.lookup.holds.load_room_names")
ROOM_FINDER: Extension[RoomFinder] = Extension("rooms.lookup.holds.find_room_id")
ROLE_USES: Extension[RoleUses] = Extension("rooms.lookup.tenant_stats.rooms_using_role")
PERSONAL_DATA_ERASERS: Sequence[Extension[PersonalDataEraser]] = (
    Extension("rooms.messages.erase_senders.erase_senders"),
    Extension("identity_sync.sync.erase_names.erase_names"),
    Extension("tenants.accounts.administrators.erase_accounts"),
    Extension("scaiwave.operations.doctor.stored_report.erase_from_health_report"),
)
TENANT_TABLES: Sequence[Extension[TenantTableList]] = (
    Extension("tenants.lookup.tenant_tables.list_tables"),
    Extension("rooms.lookup.tenant_tables.list_tables"),
    Extension("identity_sync.reports.tenant_tables.list_tables"),
)
"""Every table that reaches a tenant, in the order in which rows can be inserted."""


MESSAGE_ERASER: Extension[MessageEraser] = Extension("rooms.people.erase_messages.erase_messages")
TENANT_PLACES: Sequence[Extension[TenantPlaceList]] = (
    Extension("tenants.accounts.tenant_places.list_places"),
    Extension("identity_sync.reports.tenant_tables.list_places"),
    Extension("rooms.erasure.places.list_places"),
    Extension("scaiwave.operations.jobs.tenant_places.list_places"),
)
SYNC_LOCK: Extension[LockFactory] = Extension("identity_sync.sync.lock.sync_lock")
OPERATOR_SCOPE: Extension[ScopeFinder] = Extension("tenants.accounts.callers.find_scope")
VISIBLE_TENANTS: Extension[VisibleTenantFinder] = Extension(
    "tenants.lookup.visibility.visible_tenants"
)
ERASING_TENANTS: Extension[ErasingTenantFinder] = Extension(
    "tenants.lookup.visibility.erasing_tenants"
)
TENANT_SLUG: Extension[TenantSlugFinder] = Extension(
    "tenants.lookup.visibility.scaikey_tenant_slug"
)
MANUAL_SUSPENSION: Extension[SuspensionCheck] = Extension(
    "tenants.accounts.callers.is_suspended_manually"
)
APPLICATION_SCOPE: Extension[ApplicationScopeFinder] = Extension(
    "identity_sync.reports.status.find_application_scope"
)
MISSING_REGISTRATION: Extension[RegistrationDescriber] = Extension(
    "identity_sync.registration.missing.describe_missing_registration"
)
SERVER_SIGNER: Extension[SignerFactory] = Extension(
    "federation.keys.server_signer.FederationSigner"
)
OVERVIEW: Extension[OverviewLoader] = Extension("scaiwave.operations.overview.stored.load_overview")
REPORT_PROBLEMS: Extension[ProblemReporter] = Extension(
    "scaiwave.operations.notifications.news.report_problems"
)
WATCH_PROBLEMS: Extension[ProblemReporter] = Extension(
    "scaiwave.operations.notifications.news.start_watching"
)
EXPORT_RECORDER: Extension[ExportRecorder] = Extension(
    "tenants.audit.record_list_export.record_list_export"
)
SIGN_OUT_FORM: Extension[SignOutFormBuilder] = Extension(
    "tenants.accounts.oidc.views.build_sign_out_form"
)
