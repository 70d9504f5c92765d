"""How changes and removals are written in JSON, whatever table or file has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypedDict
from uuid import UUID

from identity_sync.models import PendingRemoval
from identity_sync.reasons import Loss, Reason, format_reason
from scaiwave.console.text import pluralize

Row = dict[str, Any]
FieldValue = str | int | list[str] | None


class ValueRow(TypedDict):
    """The value of a field before and after a change."""

    field: str
    old: FieldValue
    new: FieldValue


class ChangeRow(TypedDict):
    """A change as JSON has it; `values` are None if they are not known."""

    kind: str
    action: str
    tenant_id: UUID | None
    tenant: str | None
    subject_id: UUID
    subject: str
    scaikey_id: str
    fields: Sequence[str]
    values: list[ValueRow] | None
    reason: str


class RemovalRow(TypedDict):
    """A removal as JSON has it. `tenant` is a slug."""

    tenant_id: UUID | None
    tenant: str | None
    loss: str
    kind: str
    subject_id: UUID
    subject: str
    scaikey_id: str
    reason: str
    cause: str
    destination: str | None
    people: int
    roles: int
    memberships: int


_DEPENDENTS: dict[Literal["people", "roles", "memberships"], tuple[str, str]] = {
    "people": ("person", "people"),
    "roles": ("role", "roles"),
    "memberships": ("membership", "memberships"),
}
"""What an encoded removal counts, with the nouns for one and for several."""


class SubjectChange(Protocol):
    """A change that was planned or made."""

    @property
    def kind(self) -> str: ...
    @property
    def tenant_id(self) -> UUID | None: ...
    @property
    def subject_id(self) -> UUID: ...
    @property
    def subject_name(self) -> str: ...
    @property
    def subject_scaikey_id(self) -> str: ...
    @property
    def reason(self) -> str: ...


def encode_change(
    change: SubjectChange,
    *,
    action: str,
    tenant: str | None,
    fields: Sequence[str],
    values: Mapping[str, Sequence[FieldValue]] | None,
) -> ChangeRow:
    """Return a change as JSON has it.

    `tenant` is a slug. `values` are [before, after] by field; None if they are not known.
    """
    return {
        "kind": change.kind,
        "action": action,
        "tenant_id": change.tenant_id,
        "tenant": tenant,
        "subject_id": change.subject_id,
        "subject": change.subject_name,
        "scaikey_id": change.subject_scaikey_id,
        "fields": fields,
        "values": None if values is None else encode_values(values, fields),
        "reason": change.reason,
    }


def encode_values(
    values: Mapping[str, Sequence[FieldValue]], fields: Sequence[str] = ()
) -> list[ValueRow]:
    """Return the values in the order of the fields, which `jsonb` does not keep."""
    names = [*(name for name in fields if name in values), *sorted(values.keys() - set(fields))]
    return [{"field": name, "old": values[name][0], "new": values[name][1]} for name in names]


def encode_removal(removal: PendingRemoval, tenant: str | None) -> RemovalRow:
    """Return a pending removal as JSON has it. `tenant` is a slug."""
    return {
        "tenant_id": removal.tenant_id,
        "tenant": tenant,
        "loss": removal.loss,
        "kind": removal.kind,
        "subject_id": removal.subject_id,
        "subject": removal.subject_name,
        # A membership has the ID of its group, a space, and the ID of its member.
        "scaikey_id": removal.subject_scaikey_id.rpartition(" ")[2],
        "reason": explain_removal(removal),
        "cause": removal.cause,
        "destination": removal.destination or None,
        "people": removal.people,
        "roles": removal.roles,
        "memberships": removal.memberships,
    }


def explain_removal(removal: PendingRemoval) -> str:
    """Return why access would be lost, as a sentence for people."""
    if removal.loss == Loss.ROLE_TAKEN:
        return f"role {removal.destination} is no longer granted in ScaiKey"
    if removal.cause == Reason.CHANGED:
        return f"{removal.destination.lower()} in ScaiKey"
    if removal.cause == Reason.MOVED:
        return f"moved to {removal.destination} in ScaiKey"
    return format_reason(removal.cause, "")


def name_removal(removal: PendingRemoval) -> str:
    return name_subject(encode_removal(removal, removal.tenant.slug if removal.tenant else None))


def name_subject(removal: RemovalRow) -> str:
    """Name whom an encoded removal is about: `Anna (usr_1) in acme (removed)`, with dependents."""
    has_place = removal["tenant"] and removal["kind"] != "tenants"
    place = f" in {removal['tenant']}" if has_place else ""
    dependents = ", ".join(
        pluralize(number, *nouns) for key, nouns in _DEPENDENTS.items() if (number := removal[key])
    )
    more = f" with {dependents}" if dependents else ""
    return f"{add_id(removal['subject'], removal['scaikey_id'])}{place} ({removal['loss']}{more})"


def add_id(name: str, scaikey_id: str) -> str:
    """Return such as `Anna (usr_1)`; of a membership with the ID of its member."""
    key = scaikey_id.rpartition(" ")[2]
    return f"{name} ({key})" if name and key else name or scaikey_id
