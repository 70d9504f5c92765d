"""What apps provide to apps below them, which must not import them.

An app registers in its `AppConfig.ready()`; nothing is called before a command needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from scaiwave.errors import NotRegistered

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from scaiwave.auth.operators import Operator
    from scaiwave.config import Configuration
    from scaiwave.doctor.findings import Check
    from scaiwave.jobs.definitions import JobDefinition
    from scaiwave.signatures import ServerSigner

TenantColumnProvider = Callable[[Collection[UUID]], Mapping[UUID, Any]]
ParticipantDetailProvider = Callable[[UUID], Sequence[tuple[str, Any]]]
ParticipantChangeFinder = Callable[[UUID], Sequence[Mapping[str, Any]]]
RoleUseFinder = Callable[[UUID, str], Sequence[str]]


@dataclass(frozen=True)
class PurgedPerson:
    """A person whose personal data is erased, with the values to look for.

    `fqid` is @local_id:server_name. `operator_names` are the texts by which records name the person
    as an operator, as they are and in lower case, without those that are someone else's too.
    """

    participant_id: UUID
    scaikey_id: str
    fqid: str
    operator_names: frozenset[str]


@dataclass(frozen=True)
class OperatorScope:
    """The partner or tenant that an operator's role reaches.

    `blocker` is why no one may act for it, None if they may. `tenant_ids` are its tenants, None if
    finding them takes another query.
    """

    blocker: str | None = None
    tenant_ids: Sequence[UUID] | None = None


PersonalDataEraser = Callable[[Sequence[PurgedPerson], str], None]
"""Erases what an app has stored about people, in the caller's transaction; takes the name that
replaces theirs."""


@dataclass(frozen=True)
class Metric:
    """One metric for Prometheus, without the prefix `scaiwave_`.

    `samples` are values with their labels. A counter only grows, and its name gets the suffix
    `_total`; any other metric is a gauge.
    """

    name: str
    help: str
    samples: Sequence[tuple[Mapping[str, str], float]]
    is_counter: bool = False


@dataclass(frozen=True)
class Pruner:
    """How `scaiwave admin prune` deletes one kind of old records.

    `setting` is the number of days for which they are kept, 0 for ever if `zero_is_never`; without
    one, `days` is. `count` and `delete` take the time before which records are old.
    """

    name: str
    title: str
    count: Callable[[datetime], int]
    delete: Callable[[datetime], int]
    setting: str = ""
    days: int = 0
    zero_is_never: bool = True


HealthReportStore = Callable[["Operator", Mapping[str, Any], datetime], None]
MetricCollector = Callable[[datetime], Iterable[Metric]]

_tenant_columns: dict[str, TenantColumnProvider] = {}
_participant_details: list[ParticipantDetailProvider] = []
_participant_changes: list[ParticipantChangeFinder] = []
_role_uses: list[RoleUseFinder] = []
_health_checks: dict[str, Check] = {}
_tenant_slug: list[Callable[[str], str | None]] = []
_visible_tenants: list[Callable[[Operator], QuerySet[Any]]] = []
_operator_scope: list[Callable[[Operator], OperatorScope]] = []
_personal_data_erasers: list[PersonalDataEraser] = []
_suspension_check: list[Callable[[str], bool]] = []
_metric_collectors: dict[str, MetricCollector] = {}
_pruners: dict[str, Pruner] = {}
_health_report_store: list[HealthReportStore] = []
_jobs: dict[str, JobDefinition] = {}
_server_signer: list[Callable[[], ServerSigner]] = []
_application_scope: list[Callable[[str], str]] = []
_missing_registration: list[Callable[[Configuration], NotRegistered]] = []


def register_tenant_columns(name: str, provide: TenantColumnProvider) -> None:
    """Add a column to list-tenants and show-tenant; tenants without a value are unknown."""
    _tenant_columns[name] = provide


def get_tenant_columns(tenant_ids: Collection[UUID]) -> dict[str, Mapping[UUID, Any]]:
    """Return every registered column for these tenants, by name."""
    return {name: provide(tenant_ids) for name, provide in _tenant_columns.items()}


def register_participant_details(provide: ParticipantDetailProvider) -> None:
    """Add lines to show-participant: pairs of title and value for a participant."""
    if provide not in _participant_details:
        _participant_details.append(provide)


def get_participant_details(participant_id: UUID) -> list[tuple[str, Any]]:
    """Return every registered line about this participant, in the order of registration."""
    return [detail for provide in _participant_details for detail in provide(participant_id)]


def register_participant_changes(find: ParticipantChangeFinder) -> None:
    """Add changes to show-participant: rows about a participant, newest first."""
    if find not in _participant_changes:
        _participant_changes.append(find)


def get_participant_changes(participant_id: UUID) -> list[Mapping[str, Any]]:
    """Return every registered change of this participant, in the order of registration."""
    return [row for find in _participant_changes for row in find(participant_id)]


def register_role_uses(find: RoleUseFinder) -> None:
    """Register a function that lists, as texts, what in a tenant uses a role of this slug."""
    if find not in _role_uses:
        _role_uses.append(find)


def find_role_uses(tenant_id: UUID, slug: str) -> list[str]:
    """Return everything that uses this role, in the order of registration."""
    return [use for find in _role_uses for use in find(tenant_id, slug)]


def register_tenant_slug(find: Callable[[str], str | None]) -> None:
    """Register how to get the slug in a tenant's addresses at ScaiKey from its ScaiKey id."""
    _tenant_slug[:] = [find]


def resolve_tenant_slug(scaikey_tenant_id: str) -> str | None:
    return _tenant_slug[0](scaikey_tenant_id) if _tenant_slug else None


def register_visible_tenants(find: Callable[[Operator], QuerySet[Any]]) -> None:
    """Register how to find the tenants within an operator's scope."""
    _visible_tenants[:] = [find]


def get_visible_tenants(operator: Operator) -> QuerySet[Any]:
    return _visible_tenants[0](operator)


def register_operator_scope(find: Callable[[Operator], OperatorScope]) -> None:
    """Register how to find what an operator's role reaches."""
    _operator_scope[:] = [find]


def find_operator_scope(operator: Operator) -> OperatorScope:
    return _operator_scope[0](operator) if _operator_scope else OperatorScope()


def register_suspension_check(is_suspended: Callable[[str], bool]) -> None:
    """Register how to find out whether this server has suspended a ScaiKey user manually."""
    _suspension_check[:] = [is_suspended]


def is_suspended(scaikey_id: str) -> bool:
    return any(check(scaikey_id) for check in _suspension_check)


def register_personal_data_eraser(erase: PersonalDataEraser) -> None:
    """Register how to erase what an app has stored about people."""
    if erase not in _personal_data_erasers:
        _personal_data_erasers.append(erase)


def erase_personal_data(people: Sequence[PurgedPerson], replacement: str) -> None:
    """Erase what every app has stored about these people. Call it in a transaction."""
    for erase in _personal_data_erasers:
        erase(people, replacement)


def register_application_scope(find: Callable[[str], str]) -> None:
    """Register how to find the scope of this server's application by its client id."""
    _application_scope[:] = [find]


def find_application_scope(client_id: str) -> str:
    """Return GLOBAL, PARTNER or TENANT; empty if this server has not registered the application."""
    return _application_scope[0](client_id) if _application_scope and client_id else ""


def register_missing_registration(describe: Callable[[Configuration], NotRegistered]) -> None:
    """Register how to describe a server without credentials: how far its registration has come."""
    _missing_registration[:] = [describe]


def get_missing_registration(config: Configuration) -> NotRegistered:
    """Return the error to raise where credentials for ScaiKey are needed and missing.

    The database may not be usable, or even set up.
    """
    from django.db import Error

    try:
        return _missing_registration[0](config)
    except (IndexError, Error):
        return NotRegistered("This server is not registered with ScaiKey.")


def register_server_signer(get: Callable[[], ServerSigner]) -> None:
    """Register what signs with the key of this server."""
    _server_signer[:] = [get]


def get_server_signer() -> ServerSigner:
    return _server_signer[0]()


def register_health_report_store(store: HealthReportStore) -> None:
    """Register how to keep the last report of `scaiwave doctor`."""
    _health_report_store[:] = [store]


def store_health_report(operator: Operator, document: Mapping[str, Any], now: datetime) -> None:
    for store in _health_report_store:
        store(operator, document, now)


def register_pruner(pruner: Pruner) -> None:
    """Add a kind of records to `scaiwave admin prune`."""
    _pruners[pruner.name] = pruner


def get_pruners() -> list[Pruner]:
    """Return every registered pruner, in the order of the installed apps."""
    return list(_pruners.values())


def register_metrics(name: str, collect: MetricCollector) -> None:
    """Add the metrics of a part of the suite to `/metrics`."""
    _metric_collectors[name] = collect


def get_metric_collectors() -> dict[str, MetricCollector]:
    return dict(_metric_collectors)


def register_job(definition: JobDefinition) -> None:
    """Allow workers to run a function, and set when the scheduler starts it."""
    _jobs[definition.function] = definition


def get_jobs() -> dict[str, JobDefinition]:
    """Return the jobs that workers may run by their function, in the order of the apps."""
    return dict(_jobs)


def find_job(function: str) -> JobDefinition | None:
    return _jobs.get(function)


def register_health_check(check: Check) -> None:
    """Add a check to `scaiwave doctor`."""
    _health_checks[check.name] = check


def get_health_checks() -> list[Check]:
    """Return every registered check, in the order of the installed apps."""
    return list(_health_checks.values())
