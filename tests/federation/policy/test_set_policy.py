from __future__ import annotations

from typing import Any

import pytest

from federation.errors import InvalidPolicy, InvalidServerName
from federation.models import FederationMode, Policy
from federation.policy.queries import show_policy
from federation.policy.set_policy import set_policy
from scaiwave.core.change import Change
from tenants.models import AuditEntry
from tests.federation.factories import DAY, HOST_OPERATOR, NOW, READ_ONLY_OPERATOR
from tests.refusals import refuses

pytestmark = pytest.mark.django_db


def change(*, dry_run: bool = False, **changes: Any) -> Change:
    return set_policy(operator=HOST_OPERATOR, now=NOW, dry_run=dry_run, **changes)


def test_success_closed_until_a_policy_is_set() -> None:
    assert show_policy(operator=READ_ONLY_OPERATOR) == {
        "default_mode": "closed",
        "allowed_peers": [],
        "max_foreign_participants_per_room": None,
        "updated_at": None,
    }
    assert not Policy.objects.exists()


def test_success_everything_at_once() -> None:
    result = change(
        default_mode="invite_only",
        allow_peers=["B.example", "a.example:8448"],
        max_foreign=50,
    )
    assert result.subject == show_policy(operator=READ_ONLY_OPERATOR)
    assert result.subject == {
        "default_mode": "invite_only",
        "allowed_peers": ["a.example:8448", "b.example"],
        "max_foreign_participants_per_room": 50,
        "updated_at": NOW,
    }
    assert result.lines == [
        "Set default_mode to invite_only (was closed).",
        "Set allowed_peers to a.example:8448, b.example (was none).",
        "Set max_foreign_participants_per_room to 50 (was none).",
    ]
    assert (result.warnings, result.document()["changed"]) == ([], True)


def test_success_omitted_options_stay() -> None:
    change(default_mode="open", allow_peers=["a.example"], max_foreign=0)
    result = change(remove_peers=["A.example"], allow_peers=["b.example"])
    assert result.rest["changes"] == [
        {"field": "allowed_peers", "old": ["a.example"], "new": ["b.example"]}
    ]
    assert result.warnings == [
        "The mode is open: allowed_peers has no effect; it applies only in mode invite_only."
    ]
    assert Policy.objects.get().max_foreign_participants_per_room == 0
    unlimited = {"field": "max_foreign_participants_per_room", "old": 0, "new": None}
    assert change(max_foreign="none").rest["changes"] == [unlimited]


def test_success_again_changes_nothing() -> None:
    changes: dict[str, Any] = {"default_mode": "closed", "remove_peers": ["a.example"]}
    change(default_mode="open")
    assert change(**changes).changed
    again = set_policy(operator=HOST_OPERATOR, now=NOW + DAY, **changes)
    assert again.lines == ["The policy already has these values; nothing changed."]
    assert again.subject["updated_at"] == NOW
    assert AuditEntry.objects.count() == 2


def test_success_audited() -> None:
    change(default_mode=FederationMode.OPEN)
    entry, policy = AuditEntry.objects.get(), Policy.objects.get()
    assert (entry.action, entry.subject_id) == ("federation policy set", str(policy.pk))
    assert entry.details == {"changed": {"default_mode": ["closed", "open"]}}


def test_success_dry_run() -> None:
    result = change(default_mode="open", dry_run=True)
    assert result.lines == ["Would set default_mode to open (was closed)."]
    assert result.dry_run
    assert not Policy.objects.exists()
    assert not AuditEntry.objects.exists()


def test_fail_nothing_to_set() -> None:
    with refuses(InvalidPolicy, "No changes were requested."):
        change()


def test_fail_allowed_and_removed() -> None:
    with refuses(InvalidPolicy, "a.example can't be both allowed and removed."):
        change(allow_peers=["a.example"], remove_peers=["A.example"])


@pytest.mark.parametrize("limit", [-1, 2**31])
def test_fail_limit(limit: int) -> None:
    with refuses(InvalidPolicy, f"Invalid participant limit: {limit}."):
        change(max_foreign=limit)


@pytest.mark.parametrize("side", ["allow_peers", "remove_peers"])
def test_fail_no_server_name(side: str) -> None:
    with pytest.raises(InvalidServerName):
        change(dry_run=False, **{side: ["https://a.example"]})
    assert not Policy.objects.exists()
