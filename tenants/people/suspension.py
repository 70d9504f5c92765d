"""Suspend partners, tenants and participants manually, and resume them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from shlex import quote
from typing import Generic, NotRequired, TypedDict, TypeVar, Unpack
from uuid import UUID

from django.db.models import QuerySet

from scaiwave.console.text import pluralize
from scaiwave.core.bulk import BulkResult, build_rows, change_rows, count_names
from scaiwave.core.change import Change, ChangeWords
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.sql import batched
from scaiwave.extensions import IMPORTING_TENANTS
from tenants.audit.record import record_audit
from tenants.lookup.resolve import (
    NameLookup,
    look_up_participants_in,
    look_up_partner,
    look_up_tenant,
)
from tenants.lookup.serializers import (
    Row,
    get_server_name,
    participant_row,
    partner_row,
    tenant_row,
)
from tenants.lookup.status_filters import MEMBERS, status_q
from tenants.lookup.validators import validate_reason
from tenants.models import Participant, Partner, Tenant, active_q
from tenants.models.directory import DECIDED_HERE
from tenants.roles.rules import (
    build_super_admin_only_error,
    describe_holders,
    ensure_super_admin_can_sign_in,
    ensure_super_admin_remains,
    find_protected_people,
    lock_super_admins,
)

_SUSPENSION = (
    "Would suspend {kind} {entity}.",
    "{Kind} {entity} suspended.",
    "{Kind} {entity} is already suspended (manually).",
    *("{count} suspended", "{count} already suspended"),
)
_RESUMPTION = (
    "Would resume {kind} {entity}.",
    "{Kind} {entity} resumed{still}.",
    "{Kind} {entity} is not suspended manually{state}.",
    *("{count} resumed{but}", "{count} {already}"),
)


E = TypeVar("E", Partner, Tenant, Participant)


class Options(TypedDict):
    """How a suspension is changed. The reason goes into the audit log and may be empty. `tenant`
    restricts the search for participants."""

    operator: Operator
    reason: str
    now: datetime
    tenant: NotRequired[str | None]
    dry_run: NotRequired[bool]


@dataclass(frozen=True)
class SuspensionRules(Generic[E]):
    """How the suspension of partners, of tenants and of participants differ.

    `look_up` finds them, in a tenant. `get_name` is how messages and
    commands refer to one. `describe_effect` names who can't sign in then. `ensure_remains` raises
    `LastSuperAdmin`. `find_protected` returns the IDs that the operator may not change.
    `is_decided` is false for a suspension that came with, or ends with, the import of a tenant.
    """

    kind: str
    permission: Permission
    look_up: Callable[[Operator, str | None], NameLookup[E]]
    lock: Callable[[], QuerySet[E]]
    build_row: Callable[[E], Row]
    get_name: Callable[[E], str]
    describe_effect: Callable[[Sequence[E]], str]
    ensure_remains: Callable[[Sequence[E]], None]
    find_protected: Callable[[Operator], Collection[UUID]] = lambda operator: ()
    is_decided: Callable[[E], bool] = lambda entity: True

    def can_suspend(self, entity: E) -> bool:
        """Return whether it is not suspended manually, or only by an import."""
        return entity.suspended_by_hand_at is None or not self.is_decided(entity)

    def get_action(self, is_suspension: bool) -> str:
        return f"{'suspend' if is_suspension else 'resume'}-{self.kind}"

    def build_result(
        self,
        entity: E,
        texts: tuple[str, ...],
        *,
        changed: bool = False,
        dry_run: bool = False,
    ) -> Change:
        reason = entity.reason_in_scaikey
        why = "deactivated" if entity.absent_since else reason  # without the day
        is_person = isinstance(entity, Participant)
        verb = "was" if entity.absent_since else "is still"
        names = {
            "kind": self.kind,
            "Kind": self.kind.capitalize(),
            "entity": self.get_name(entity),
            "state": f"{', but' if is_person else '; it is'} {reason or 'active'}",
            "but": f", but still {why}" if why else "",
            "already": f"still {why}" if why else "already active",
            "still": f", but {'' if is_person else 'it '}{verb} {reason}" if reason else "",
        }
        words = ChangeWords(self.kind, *texts)
        return Change(words, self.build_row(entity), changed, dry_run, names)


def suspend(
    rules: SuspensionRules[E],
    *,
    name: str,
    confirm: Callable[[str], None],
    undo: str = "",
    **options: Unpack[Options],
) -> Change:
    """Suspend one as `suspend_many` does, and raise its error."""
    done = suspend_many(rules, names=[name], confirm=confirm, undo=undo, **options)
    result: Change = done.get_only()
    return result


def resume(
    rules: SuspensionRules[E],
    *,
    name: str,
    confirm: Callable[[str], None] | None = None,
    **options: Unpack[Options],
) -> Change:
    """Resume one as `resume_many` does, and raise its error."""
    result: Change = resume_many(rules, names=[name], confirm=confirm, **options).get_only()
    return result


def suspend_many(
    rules: SuspensionRules[E],
    *,
    names: Sequence[str],
    confirm: Callable[[str], None],
    undo: str = "",
    **options: Unpack[Options],
) -> BulkResult:
    """Suspend them manually, whatever their status in ScaiKey. Syncs do not change this.

    All are checked first: if one can't be suspended, nothing is changed. `undo` is how to resume
    them if not by the command: it follows "until you".
    Raises LastSuperAdmin, InvalidName and TenantNotFound; rows have AmbiguousName, the error of a
    name that is not found, or for a participant SuperAdminOnly.
    """

    def ask(entities: list[E]) -> None:
        name = rules.get_name(entities[0]) if len(entities) == 1 else "NAME"
        confirm(
            f"This blocks {rules.describe_effect(entities)} until you "
            f"{undo or f'run `scaiwave admin resume-{rules.kind} {quote(name)}`'}; syncs do not "
            "change this."
        )

    return _change(rules, names, is_suspension=True, ask=ask, **options)


def resume_many(
    rules: SuspensionRules[E],
    *,
    names: Sequence[str],
    confirm: Callable[[str], None] | None = None,
    **options: Unpack[Options],
) -> BulkResult:
    """Lift manual suspensions. The status in ScaiKey applies again.

    Like `suspend_many`, but no super_admin can be lost.
    """

    def ask(entities: list[E]) -> None:
        if confirm is not None:
            confirm(f"This resumes {rules.describe_effect(entities)}.")

    return _change(rules, names, is_suspension=False, ask=ask, **options)


def _change(
    rules: SuspensionRules[E],
    names: Sequence[str],
    *,
    is_suspension: bool,
    operator: Operator,
    reason: str,
    ask: Callable[[list[E]], None],
    now: datetime,
    tenant: str | None = None,
    dry_run: bool = False,
) -> BulkResult:
    """`ask` gets those to change, and raises if the answer is not yes."""
    operator.require(rules.permission)
    validate_reason(reason)
    texts = _SUSPENSION if is_suspension else _RESUMPTION
    protected = rules.find_protected(operator)
    steps = _Steps(rules, is_suspension, operator, reason, now, texts, protected)
    rows = build_rows(rules.look_up(operator, tenant).find_each(names))
    change_rows(
        rows,
        check=steps.check,
        check_all=steps.check_all,
        preview=lambda entity: rules.build_result(entity, texts, dry_run=True),
        confirm=ask,
        write=steps.write,
        dry_run=dry_run,
    )
    return BulkResult(rows, {rules.kind: None})


@dataclass(frozen=True)
class _Steps(Generic[E]):
    rules: SuspensionRules[E]
    is_suspension: bool
    operator: Operator
    reason: str
    now: datetime
    texts: tuple[str, ...]
    protected: Collection[UUID]

    def check(self, entity: E) -> Change | None:
        """Return the result for one that is suspended or active already."""
        if entity.pk in self.protected:
            raise build_super_admin_only_error(self.operator, "suspend or resume a")
        is_resumed = entity.suspended_by_hand_at is None
        is_done = not self.rules.can_suspend(entity) if self.is_suspension else is_resumed
        return self.rules.build_result(entity, self.texts) if is_done else None

    def check_all(self, entities: list[E]) -> None:
        if self.is_suspension and entities:
            self.rules.ensure_remains(entities)

    def write(self, entities: list[E]) -> list[Change]:
        rules, now = self.rules, self.now
        if self.is_suspension:
            lock_super_admins()
        locked = rules.lock().filter(pk__in=[each.pk for each in entities]).order_by("pk")
        by_id = {each.pk: each for each in locked}
        done = {key: result for key, each in by_id.items() if (result := self.check(each))}
        pending = [each for key, each in by_id.items() if key not in done]
        self.check_all(pending)
        suspended_at = now if self.is_suspension else None
        for each in pending:
            details = {"reason": self.reason}
            if since := each.suspended_by_hand_at:
                details["suspended_by_hand_at"] = since.isoformat()
            each.suspended_by_hand_at, each.updated_at = suspended_at, now
            record_audit(self.operator, rules.get_action(self.is_suspension), each, now, details)
            done[each.pk] = rules.build_result(each, self.texts, changed=True)
        if pending:
            changed = type(pending[0]).objects.filter(pk__in=[each.pk for each in pending])
            changed.update(suspended_by_hand_at=suspended_at, updated_at=now)
        return [done[each.pk] for each in entities]


def _describe_partners(partners: Sequence[Partner]) -> str:
    """Count the people who could sign in, and the active tenants they are in."""
    tenants = Tenant.objects.filter(status_q("active"), partner__in=partners).count()
    people = Participant.objects.filter(
        MEMBERS, active_q("tenant__"), tenant__partner__in=partners
    ).count()
    whose = count_names("partner", [str(partner) for partner in partners])
    return (
        f"sign-in for {pluralize(people, 'person', 'people')} in "
        f"{pluralize(tenants, 'tenant', 'tenants')} of {whose}"
    )


def _describe_tenants(tenants: Sequence[Tenant]) -> str:
    if len(tenants) == 1:
        return f"sign-in for {describe_members(tenants[0])}"
    people = sum(
        Participant.objects.filter(MEMBERS, tenant__in=batch).count() for batch in batched(tenants)
    )
    return (
        f"sign-in for {pluralize(people, 'person', 'people')} in "
        f"{count_names('tenant', [each.slug for each in tenants])}"
    )


def describe_members(tenant: Tenant) -> str:
    """Format the number of active people in a tenant, as `all 36 people in acme`."""
    count = Participant.objects.filter(MEMBERS, tenant=tenant).count()
    people = f"all {count:,} people" if count > 1 else pluralize(count, "person", "people")
    return f"{people} in {tenant.slug}"


PARTNER = SuspensionRules(
    "partner",
    Permission.MANAGE_PLATFORM,
    look_up=lambda operator, tenant: look_up_partner(operator),
    lock=Partner.objects.select_for_update,
    build_row=partner_row,
    get_name=str,
    describe_effect=_describe_partners,
    ensure_remains=lambda partners: ensure_super_admin_can_sign_in(without=partners),
)
TENANT = SuspensionRules(
    "tenant",
    Permission.MANAGE_TENANTS,
    look_up=lambda operator, tenant: look_up_tenant(operator),
    lock=Tenant.objects.select_for_update,
    build_row=tenant_row,
    get_name=lambda tenant: tenant.slug,
    describe_effect=_describe_tenants,
    ensure_remains=ensure_super_admin_remains,
    is_decided=lambda tenant: not IMPORTING_TENANTS.load()().filter(pk=tenant.pk).exists(),
)
PARTICIPANT = SuspensionRules(
    "participant",
    Permission.MANAGE_TENANTS,
    look_up=look_up_participants_in,
    # Those who only refer to a person, such as an import in progress, need not wait.
    lock=lambda: Participant.objects.select_related("tenant").select_for_update(
        of=("self",), no_key=True
    ),
    build_row=lambda person: participant_row(person, server_name=get_server_name()),
    get_name=lambda person: person.fqid(get_server_name()),
    describe_effect=describe_holders,
    ensure_remains=ensure_super_admin_remains,
    find_protected=find_protected_people,
    is_decided=lambda person: Participant.objects.filter(DECIDED_HERE, pk=person.pk).exists(),
)

suspend_partner, resume_partner = partial(suspend, PARTNER), partial(resume, PARTNER)
suspend_tenant, resume_tenant = partial(suspend, TENANT), partial(resume, TENANT)
suspend_participant = partial(suspend, PARTICIPANT)
resume_participant = partial(resume, PARTICIPANT)
