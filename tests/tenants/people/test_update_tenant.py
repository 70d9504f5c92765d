from __future__ import annotations

import json
from typing import Any

import pytest

from rooms.models import Room
from scaiwave.core.change import Change
from scaiwave.core.errors import InsufficientPermission, UsageError
from tenants.errors import (
    InvalidLimit,
    InvalidName,
    InvalidSlug,
    ManagedByScaiKey,
    PartnerNotFound,
    TenantConflict,
)
from tenants.models import AuditEntry, Participant, Tenant
from tenants.people.update_tenant import TenantUpdate, update_tenant
from tests.refusals import refuses
from tests.scaiwave import row_factories
from tests.tenants.factories import (
    HOST_OPERATOR,
    NOW,
    make_partner,
    make_partner_admin,
    make_person,
    make_tenant,
    make_tenant_admin,
    run_command,
)

pytestmark = pytest.mark.django_db


def update(changes: TenantUpdate, **options: Any) -> Change:
    arguments: dict[str, Any] = {
        "operator": HOST_OPERATOR,
        "tenant": "acme",
        "now": NOW,
        "update": changes,
    }
    return update_tenant(**{**arguments, **options})


def make_limits(**limits: int | None) -> TenantUpdate:
    return TenantUpdate(limits=limits)


def make_local(**fields: Any) -> Tenant:
    return make_tenant(scaikey_tenant_id=None, **fields)


def test_success_limits() -> None:
    make_tenant(max_rooms=5)
    result = update(make_limits(max_participants=10, max_rooms=None, max_ai_tokens_month=2**63 - 1))
    tenant = Tenant.objects.get()
    assert (tenant.max_participants, tenant.max_rooms) == (10, None)
    assert (tenant.max_ai_tokens_month, tenant.updated_at) == (2**63 - 1, NOW)
    assert result.lines == [
        "Tenant acme changed:",
        "  max_participants     no limit → 10",
        "  max_rooms            5 → no limit",
        "  max_ai_tokens_month  no limit → 9,223,372,036,854,775,807",
    ]
    assert (result.warnings, result.subject["max_participants"]) == ([], 10)


def test_success_audited_with_old_and_new() -> None:
    tenant = make_tenant(features={"old": [1], "search": {"semantic": False}})
    given = [("search.semantic", True), ("search.limit", 1.5)]
    update(TenantUpdate(limits={"max_rooms": 3}, features=given, remove_features=["old"]))
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.subject_id, entry.at) == ("update-tenant", str(tenant.pk), NOW)
    assert entry.details == {
        "changes": [
            {"field": "max_rooms", "old": None, "new": 3},
            {"field": "features.old", "old": [1], "new": None},
            {"field": "features.search.semantic", "old": False, "new": True},
            {"field": "features.search.limit", "old": None, "new": 1.5},
        ]
    }
    tenant.refresh_from_db()
    assert tenant.features == {"search": {"semantic": True, "limit": 1.5}}


def test_success_nothing_to_change() -> None:
    before = make_local(max_rooms=3, features={"a": 1}, partner=make_partner())
    requested = TenantUpdate(
        limits={"max_rooms": 3},
        features=[("a", 1)],
        remove_features=["b.c"],
        name="Acme",
        slug="acme",
        partner="northwind",
    )
    result = update(requested)
    assert result.lines == ["Tenant acme already has these values; nothing changed."]
    assert result.document()["changed"] is False
    assert not AuditEntry.objects.exists()
    assert Tenant.objects.get().updated_at == before.updated_at


def test_success_true_is_not_one() -> None:
    make_tenant(features={"a": True, "b": None})
    assert update(TenantUpdate(features=[("a", 1)])).lines[1] == "  features.a  true → 1"
    assert update(TenantUpdate(remove_features=["b"])).lines[1] == "  features.b  null → not set"


def test_success_local_tenant_is_renamed() -> None:
    tenant = make_local()
    partner = make_partner()
    result = update(TenantUpdate(name="Lab", slug="lab", partner="northwind"))
    tenant.refresh_from_db()
    assert (tenant.name, tenant.slug, tenant.partner) == ("Lab", "lab", partner)
    assert result.lines == [
        "Tenant lab changed:",
        "  name     Acme → Lab",
        "  slug     acme → lab",
        "  partner  none → northwind",
    ]
    update(TenantUpdate(no_partner=True), tenant="lab")
    tenant.refresh_from_db()
    assert tenant.partner is None


def test_success_dry_run_reports_the_same_and_writes_nothing() -> None:
    make_local()
    requested = TenantUpdate(name="Lab", limits={"max_rooms": 0})
    result = update(requested, dry_run=True)
    assert result.lines == [
        "Would change tenant acme:",
        "  name       Acme → Lab",
        "  max_rooms  no limit → 0",
    ]
    assert (result.document()["changed"], result.dry_run) == (True, True)
    assert (Tenant.objects.get().name, AuditEntry.objects.count()) == ("Acme", 0)


def test_success_limit_below_the_usage_is_a_warning(tenant: Tenant) -> None:
    for name in ("anna", "berta", "cleo"):
        make_person(tenant, name)
    place = row_factories.make_workspace(tenant)
    creator = make_person(tenant, "dora")
    for name in ("Lobby", "Kitchen"):
        row_factories.make_room(place, creator, name)
    row_factories.make_media(tenant, size=3 * 1024 * 1024)
    requested = make_limits(
        max_participants=3, max_rooms=1, max_storage_mb=2, max_ai_tokens_month=0
    )
    assert (
        update(requested, dry_run=True).warnings
        == update(requested).warnings
        == [
            "Tenant acme exceeds the new limit for active participants: 4 in use, 3 allowed. "
            "Nothing is deleted.",
            "Tenant acme exceeds the new limit for rooms: 2 in use, 1 allowed. Nothing is deleted.",
            "Tenant acme exceeds the new limit for storage: 3.0 MiB in use, 2.0 MiB allowed. "
            "Nothing is deleted.",
        ]
    )
    assert Room.objects.count() == 2
    assert update(make_limits(max_participants=4, max_rooms=2)).warnings == []


def test_success_command(tenant: Tenant, anna: Participant) -> None:
    words = ("update_tenant", "acme", "--max-participants", "0", "--max-rooms=none")
    shown = run_command(*words, "--feature", 'a.b={"c": []}', "--feature", "d=null", "--dry-run")
    assert shown == (
        "Would change tenant acme:\n"
        "  max_participants  no limit → 0\n"
        "  features.a.b.c    not set → []\n"
        "  features.d        not set → null\n"
    )
    document = json.loads(run_command(*words, "--json"))
    assert document["changes"] == [{"field": "max_participants", "old": None, "new": 0}]
    assert document["tenant"]["max_participants"] == 0
    assert document["warnings"] == [
        "Tenant acme exceeds the new limit for active participants: 1 in use, 0 allowed. Nothing "
        "is deleted."
    ]


@pytest.mark.parametrize("limit", ["-1", "1.5", "many", "١", "9" * 20, ""])
def test_fail_invalid_limit(limit: str, tenant: Tenant) -> None:
    with refuses(UsageError, f"Argument --max-rooms: {limit!r} is not a whole number or `none`."):
        run_command("update_tenant", "acme", f"--max-rooms={limit}")


def test_fail_limit_larger_than_its_column_or_none(tenant: Tenant) -> None:
    with pytest.raises(InvalidLimit) as caught:
        update(make_limits(max_rooms=2**31))
    assert caught.value.message == "Invalid limit max_rooms of a tenant: 2147483648."
    assert caught.value.fix == "Pass a whole number from 0 to 2147483647, or `none`."
    with refuses(UsageError, "No changes were requested."):
        run_command("update_tenant", "acme")


@pytest.mark.parametrize(
    ("requested", "managed"),
    [
        (TenantUpdate(name="Lab"), "name"),
        (TenantUpdate(name="Lab", slug="lab", limits={"max_rooms": 3}), "name and slug"),
        (TenantUpdate(partner="northwind"), "partner"),
    ],
)
def test_fail_field_is_managed_by_scaikey(requested: TenantUpdate, managed: str) -> None:
    make_tenant()
    make_partner()
    for dry_run in (True, False):
        with pytest.raises(ManagedByScaiKey) as caught:
            update(requested, dry_run=dry_run)
        assert caught.value.message == f"ScaiKey manages the {managed} of tenant acme (tnt_acme)."
        assert caught.value.fix == "Change it in ScaiKey, then run `scaiwave sync`."
    assert (Tenant.objects.get().max_rooms, Tenant.objects.get().name) == (None, "Acme")


def test_fail_slug_is_taken() -> None:
    make_local()
    make_tenant("other")
    for dry_run in (True, False):
        with pytest.raises(TenantConflict) as caught:
            update(TenantUpdate(slug="other"), dry_run=dry_run)
        assert caught.value.message == (
            "Another tenant other already exists: 'Other', ScaiKey tenant tnt_other, no partner."
        )


def test_fail_invalid_values() -> None:
    make_local()
    for requested, error in (
        (TenantUpdate(name=" "), InvalidName),
        (TenantUpdate(slug="A"), InvalidSlug),
        (TenantUpdate(partner="unknown"), PartnerNotFound),
    ):
        with pytest.raises(error):
            update(requested)


def test_fail_outside_the_scope_or_not_allowed() -> None:
    own = make_partner("own")
    tenant = make_local(partner=own)
    with pytest.raises(InsufficientPermission):
        update(TenantUpdate(sync_removals=False), operator=make_tenant_admin(tenant))
    make_partner()
    with pytest.raises(PartnerNotFound):
        update(TenantUpdate(partner="northwind"), operator=make_partner_admin(own))
    with pytest.raises(InsufficientPermission):
        update(TenantUpdate(no_partner=True), operator=make_partner_admin(own))
    assert not AuditEntry.objects.exists()
    assert update(make_limits(max_rooms=1), operator=make_partner_admin(own)).changed


def test_success_removals_by_syncs(tenant: Tenant) -> None:
    result = update(TenantUpdate(sync_removals=False))
    assert result.lines == ["Tenant acme changed:", "  sync_removals  on → off"]
    assert Tenant.objects.get().sync_removals is False
    assert AuditEntry.objects.get().details == {
        "changes": [{"field": "sync_removals", "old": True, "new": False}]
    }
    assert not update(TenantUpdate(sync_removals=False)).changed

    printed = run_command("update_tenant", "acme", "--sync-removals", "on")
    assert "  sync_removals  off → on" in printed
    assert Tenant.objects.get().sync_removals is True


@pytest.mark.parametrize(("switch", "text"), [("on", "on"), ("off", "off")])
def test_success_removals_by_syncs_are_shown(switch: str, text: str, tenant: Tenant) -> None:
    run_command("update_tenant", "acme", "--sync-removals", switch, "--max-rooms", "3")
    assert f"Removals    by syncs: {text}\n" in run_command("show_tenant", "acme")
    document = json.loads(run_command("show_tenant", "acme", "--json"))
    assert document["tenant"]["sync_removals"] is (switch == "on")
