from __future__ import annotations

from typing import Any

import pytest

from federation.errors import InvalidPolicy, InvalidServerName
from federation.models import FederationMode, Policy
from federation.policy.queries import show_policy
from federation.policy.set_policy import PolicyUpdate, SetPolicyResult, set_policy
from tenants.models import AuditEntry
from tests.federation.factories import DAY, HOST_OPERATOR, NOW, READ_ONLY_OPERATOR

pytestmark = pytest.mark.django_db


def change(*, dry_run: bool = False, **changes: Any) -> SetPolicyResult:
    return set_policy(
        operator=HOST_OPERATOR, changes=PolicyUpdate(**changes), now=NOW, dry_run=dry_run
    )


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
        limit_foreign=True,
        max_foreign=50,
    )
    assert result.policy == show_policy(operator=READ_ONLY_OPERATOR)
    assert result.policy == {
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
    change(default_mode="open", allow_peers=["a.example"], limit_foreign=True, max_foreign=0)
    result = change(remove_peers=["A.example"], allow_peers=["b.example"])
    assert result.changed == {"allowed_peers": [["a.example"], ["b.example"]]}
    assert result.warnings == [
        "The mode is open: allowed_peers has no effect; it applies only in mode invite_only."
    ]
    assert Policy.objects.get().max_foreign_participants_per_room == 0
    assert change(limit_foreign=True).changed == {"max_foreign_participants_per_room": [0, None]}


def test_success_again_changes_nothing() -> None:
    changes: dict[str, Any] = {"default_mode": "closed", "remove_peers": ["a.example"]}
    change(default_mode="open")
    assert change(**changes).changed
    again = set_policy(operator=HOST_OPERATOR, changes=PolicyUpdate(**changes), now=NOW + DAY)
    assert again.lines == ["The policy already has these values; nothing changed."]
    assert again.policy["updated_at"] == NOW
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


@pytest.mark.parametrize("changes", [{}, {"max_foreign": 5}])
def test_fail_nothing_to_set(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        change(**changes)
    assert caught.value.message == "No changes were requested."


def test_fail_allowed_and_removed() -> None:
    with pytest.raises(InvalidPolicy) as caught:
        change(allow_peers=["a.example"], remove_peers=["A.example"])
    assert caught.value.message == "a.example can't be both allowed and removed."


@pytest.mark.parametrize("limit", [-1, 2**31])
def test_fail_limit(limit: int) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        change(limit_foreign=True, max_foreign=limit)
    assert caught.value.message == f"Invalid participant limit: {limit}."


@pytest.mark.parametrize("side", ["allow_peers", "remove_peers"])
def test_fail_no_server_name(side: str) -> None:
    with pytest.raises(InvalidServerName):
        change(dry_run=False, **{side: ["https://a.example"]})
    assert not Policy.objects.exists()
