"""Why a sync makes a change, or skips it, and which access is lost: codes in the database."""

from __future__ import annotations

from enum import StrEnum

from django.db import models

POSTPONED_PREFIX = "postponed: "


class Loss(StrEnum):
    """What someone loses, or their group, tenant or partner."""

    REMOVED = "removed"
    SUSPENDED = "suspended"
    MOVED = "moved"
    ROLE_TAKEN = "role-taken"
    GROUP_LEFT = "group-left"
    GROUP_REMOVED = "group-removed"
    TENANT_REMOVED = "tenant-removed"
    TENANT_SUSPENDED = "tenant-suspended"
    PARTNER_REMOVED = "partner-removed"
    PARTNER_SUSPENDED = "partner-suspended"


ENDED = {
    ("participants", "deactivate"): Loss.REMOVED,
    ("participants", "move"): Loss.MOVED,
    ("memberships", "deactivate"): Loss.GROUP_LEFT,
    ("groups", "deactivate"): Loss.GROUP_REMOVED,
    ("groups", "move"): Loss.GROUP_REMOVED,
    ("tenants", "deactivate"): Loss.TENANT_REMOVED,
    ("partners", "deactivate"): Loss.PARTNER_REMOVED,
}
"""The loss by the kind and action of a change."""
SUSPENSIONS = {
    "participants": Loss.SUSPENDED,
    "tenants": Loss.TENANT_SUSPENDED,
    "partners": Loss.PARTNER_SUSPENDED,
}
"""The loss of a row whose new status is not active, by its kind."""


class Reason(models.TextChoices):
    """The labels are what operators read: use `format_reason`."""

    # What changes. A change or a move may be a loss of access.
    ADDED = "added", "new in ScaiKey"
    RESTORED = "restored", "back in ScaiKey"
    CHANGED = "changed", "changed in ScaiKey"
    MOVED = "moved", "moved to another tenant"
    SLUG_FREED = "slug_freed", "its slug belongs to another tenant now"
    MEMBER_ADDED = "member_added", "new member in ScaiKey"
    MEMBER_RESTORED = "member_restored", "member again in ScaiKey"

    # Why a claim is confirmed: it is a removal.
    REMOVED = "removed", "removed from ScaiKey"
    TENANT_REMOVED = "tenant_removed", "its tenant was removed from ScaiKey"
    OUT_OF_SCOPE = "out_of_scope", "no longer within the scope of this server's credentials"
    MEMBER_REMOVED = "member_removed", "no longer a member in ScaiKey"
    NOT_RETURNED = "not_returned", "not among the members with which its group returned"

    # Why a row is skipped that is about no removal.
    UNUSABLE = "unusable", "unusable record"
    UNREADABLE = "unreadable", "ScaiKey does not return its members"
    UNREADABLE_LIST = "unreadable_list", "ScaiKey does not return this list"
    SLUG_IN_USE = "slug_in_use", "its slug is still in use"

    # Why a removal is skipped: `sync.states.Judgment` has the states of its run.
    OVER_LIMIT = "over_limit", "over the removal limit of its tenant"  # rows of older releases
    PENDING = "pending", "a pending removal"
    KEPT = "kept", "access is kept until a date"
    OFF_FOR_RUN = "off_for_run", "removals are turned off for this run"
    OFF_FOR_TENANT = "off_for_tenant", "removals are turned off for this tenant"

    # Why a claim is postponed: nothing has proven it.
    NO_CONTROL = (
        "no_control",
        "ScaiKey does not return records by ID that exist, so a 404 proves nothing",
    )
    LISTED = "listed", "ScaiKey lists it, but does not return it by its ID"
    UNKNOWN_TENANT = "unknown_tenant", "ScaiKey returns it with a tenant that does not exist"
    BUDGET_SPENT = "budget_spent", "the look-up limit of this run is reached"
    INCONSISTENT = "inconsistent", "ScaiKey's list is inconsistent"
    NOTHING_PROVEN = "nothing_proven", "the look-ups proved nothing"
    MEMBERS_INCOMPLETE = (
        "members_incomplete",
        "the list of members could not be read completely",
    )
    LOOKUP_FAILED = "lookup_failed", "the look-up failed"


ON_PURPOSE = (Reason.OFF_FOR_RUN, Reason.OFF_FOR_TENANT, Reason.KEPT)
"""The reasons of losses that operators have skipped."""

POSTPONED = (
    Reason.NO_CONTROL,
    Reason.LISTED,
    Reason.UNKNOWN_TENANT,
    Reason.BUDGET_SPENT,
    Reason.INCONSISTENT,
    Reason.NOTHING_PROVEN,
    Reason.MEMBERS_INCOMPLETE,
    Reason.LOOKUP_FAILED,
)
"""The reasons of losses that wait for a proof."""

_WITH_DETAIL = {
    Reason.UNUSABLE: "{0}: {1}",
    Reason.UNREADABLE: "{0}: {1}",
    Reason.UNREADABLE_LIST: "{0}: {1}",
    Reason.LOOKUP_FAILED: "{1}",
}


def format_reason(code: str, detail: str) -> str:
    """Return the sentence of a reason. Old rows may have no code, and the sentence as detail."""
    prefix = POSTPONED_PREFIX if code in POSTPONED else ""
    return prefix + format_cause(code, detail)


def format_cause(code: str, detail: str) -> str:
    """Return the sentence of a reason, for a text that names the postponed rows itself.

    A code of a later release is shown as it is.
    """
    if code not in Reason.values:
        return detail or code
    form = _WITH_DETAIL.get(Reason(code), "{0}") if detail else "{0}"
    return form.format(Reason(code).label, detail)
