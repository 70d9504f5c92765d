from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from pytest_django import Settings

from scaiwave.config import load
from scaiwave.core.change import Change
from scaiwave.core.errors import (
    InsufficientPermission,
    ScaiWaveError,
    SettingMissing,
    UpstreamUnauthorized,
    UpstreamUnreachable,
    UsageError,
)
from scaiwave.sandbox import Sandbox
from tenants.errors import (
    InvalidName,
    InvalidSlug,
    PartnerNotFound,
    ScaiKeyMismatch,
    ScaiKeyTenantNotFound,
    TenantConflict,
)
from tenants.models import AuditEntry, Partner, Tenant
from tenants.people.create_tenant import create_tenant
from tenants.people.scaikey_lookup import TenantLookup, build_tenant_lookup
from tests.concurrency import run_concurrently
from tests.refusals import refuses
from tests.tenants.factories import (
    HOST_OPERATOR,
    NOW,
    make_partner,
    make_partner_admin,
    make_tenant,
    run_command,
)
from tests.tenants.fake_scaikey import make_config

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=2, people=4, groups=0),
]


create = partial(
    create_tenant,
    operator=HOST_OPERATOR,
    slug="acme",
    name="Acme Corp",
    scaikey_tenant_id=None,
    partner=None,
    lookup=None,
    now=NOW,
)
"""Create a local tenant acme as the host operator; other arguments replace these."""


@dataclass(frozen=True)
class UnsyncedTenant:
    """A tenant of the sandbox that has not been synced, and what it takes to create it."""

    id: str
    partner: Partner
    other_partner: Partner

    def create(self, lookup: TenantLookup | None, **changes: Any) -> Change:
        arguments = {"slug": "zenith", "name": "Zenith Corp", "scaikey_tenant_id": self.id}
        return create(lookup=lookup, **{**arguments, **changes})


@pytest.fixture
def zenith(sandbox: Sandbox) -> UnsyncedTenant:
    first, second = (
        make_partner(row["slug"], scaikey_id=row["id"])
        for row in sandbox.directory.partners.values()
    )
    assert first.scaikey_id
    key = sandbox.directory.add_tenant(
        name="Zenith Corp", slug="zenith", partner_id=first.scaikey_id
    )
    return UnsyncedTenant(key, first, second)


def test_success_local() -> None:
    result = create()
    tenant = Tenant.objects.get()
    assert (result.changed, result.subject["id"]) == (True, tenant.pk)
    assert (tenant.slug, tenant.name, tenant.created_at) == ("acme", "Acme Corp", NOW)
    assert (tenant.scaikey_tenant_id, tenant.partner, tenant.is_active) == (None, None, True)


def test_success_audited() -> None:
    create(partner=make_partner().slug)
    tenant, entry = Tenant.objects.get(), AuditEntry.objects.get()
    assert (entry.action, entry.operator, entry.at) == ("create-tenant", "root", NOW)
    assert (entry.subject_id, entry.tenant_id) == (str(tenant.pk), str(tenant.pk))
    assert entry.details == {
        "name": "Acme Corp",
        "scaikey_tenant_id": None,
        "partner": "northwind",
    }


def test_success_verified_takes_partner_and_status_from_scaikey(
    zenith: UnsyncedTenant, lookup: TenantLookup, sandbox: Sandbox
) -> None:
    sandbox.directory.update_tenant(zenith.id, status="SUSPENDED")
    assert zenith.create(lookup).changed
    tenant = Tenant.objects.get()
    assert (tenant.scaikey_tenant_id, tenant.partner) == (zenith.id, zenith.partner)
    assert (tenant.scaikey_status, tenant.status) == ("SUSPENDED", "suspended")


def test_success_partner_by_any_of_its_names(zenith: UnsyncedTenant, lookup: TenantLookup) -> None:
    for name in (zenith.partner.slug, zenith.partner.scaikey_id, str(zenith.partner.pk)):
        assert zenith.create(lookup, partner=name).subject["partner"]["id"] == zenith.partner.pk
    assert Tenant.objects.count() == 1


def test_success_partner_that_was_not_synced_yet(
    zenith: UnsyncedTenant, lookup: TenantLookup
) -> None:
    Partner.objects.all().delete()
    assert zenith.create(lookup).subject["partner"] is None


def test_success_without_verification_the_options_are_used() -> None:
    assert create(scaikey_tenant_id="tnt_later").changed
    assert Tenant.objects.get().scaikey_tenant_id == "tnt_later"


def test_success_repeated_finds_the_tenant(zenith: UnsyncedTenant, lookup: TenantLookup) -> None:
    first, again = zenith.create(lookup), zenith.create(lookup)
    assert (first.changed, again.changed) == (True, False)
    assert again.subject == first.subject
    assert (Tenant.objects.count(), AuditEntry.objects.count()) == (1, 1)


def test_success_dry_run_checks_everything_and_writes_nothing(
    zenith: UnsyncedTenant, lookup: TenantLookup
) -> None:
    result = zenith.create(lookup, dry_run=True)
    assert (result.changed, result.dry_run) == (False, True)
    assert result.document()["changed"] is True
    assert (result.subject["id"], result.subject["partner"]["id"]) == (None, zenith.partner.pk)
    assert not Tenant.objects.exists()
    assert not AuditEntry.objects.exists()
    with pytest.raises(ScaiKeyMismatch):
        zenith.create(lookup, slug="other", dry_run=True)


def test_fail_what_is_not_valid() -> None:
    with pytest.raises(InvalidSlug):
        create(slug="Acme")
    with pytest.raises(InvalidName):
        create(name=" ")
    with pytest.raises(InvalidName):
        create(scaikey_tenant_id="")
    with refuses(PartnerNotFound, "Partner not found: unknown."):
        create(partner="unknown")


def test_fail_slug_is_taken() -> None:
    make_tenant("acme", partner=make_partner())
    with refuses(
        TenantConflict,
        "Another tenant acme already exists: 'Acme', ScaiKey tenant tnt_acme, partner northwind.",
        "Choose another slug. `scaiwave admin show-tenant acme` shows that tenant.",
    ):
        create()


def test_fail_same_slug_with_another_name_or_partner() -> None:
    create(partner=make_partner().slug)
    assert not create().changed
    other_values: tuple[dict[str, Any], ...] = (
        {"name": "Acme"},
        {"partner": make_partner("south").slug},
    )
    for changes in other_values:
        with pytest.raises(TenantConflict):
            create(**changes)


def test_fail_scaikey_tenant_is_taken() -> None:
    make_tenant("globex")
    with refuses(
        TenantConflict,
        "ScaiKey tenant tnt_globex is already linked to tenant globex ('Globex').",
        "Check the ID in ScaiKey. `scaiwave admin show-tenant globex` shows the linked tenant.",
    ):
        create(scaikey_tenant_id="tnt_globex")


def test_fail_taken_outside_the_scope_names_unknown() -> None:
    paula = make_partner_admin(make_partner())
    make_tenant("globex", name="Secret")
    with refuses(TenantConflict, "Slug globex is already in use.", "Choose another slug."):
        create(operator=paula, slug="globex")
    with refuses(
        TenantConflict, "ScaiKey tenant tnt_globex is already in use.", "Check the ID in ScaiKey."
    ):
        create(operator=paula, scaikey_tenant_id="tnt_globex")


def test_fail_scaikey_has_no_such_tenant(lookup: TenantLookup) -> None:
    for key in ("tnt_nope", "..", "../partners"):
        with refuses(ScaiKeyTenantNotFound, f"Tenant not found in ScaiKey: {key}."):
            create(scaikey_tenant_id=key, lookup=lookup)
    assert not Tenant.objects.exists()


@pytest.mark.parametrize("changes", [{"slug": "zen"}, {"name": "Zen's"}])
def test_fail_another_name_in_scaikey(
    zenith: UnsyncedTenant, lookup: TenantLookup, changes: dict[str, str]
) -> None:
    with refuses(
        ScaiKeyMismatch,
        f"In ScaiKey, tenant {zenith.id} has the slug 'zenith' and the name 'Zenith Corp'. The "
        "next sync would apply these.",
        "Pass --slug zenith --name 'Zenith Corp', or change them in ScaiKey first.",
    ):
        zenith.create(lookup, **changes)


def test_fail_another_partner_in_scaikey(zenith: UnsyncedTenant, lookup: TenantLookup) -> None:
    with refuses(
        ScaiKeyMismatch,
        f"In ScaiKey, tenant {zenith.id} belongs to partner {zenith.partner.scaikey_id}, not to "
        f"{zenith.other_partner.slug}.",
        "Omit --partner-id to use ScaiKey's partner, or move the tenant in ScaiKey first.",
    ):
        zenith.create(lookup, partner=zenith.other_partner.slug)


def test_fail_no_partner_in_scaikey(
    zenith: UnsyncedTenant, lookup: TenantLookup, sandbox: Sandbox
) -> None:
    sandbox.directory.update_tenant(zenith.id, partner_id=None)
    with pytest.raises(ScaiKeyMismatch) as caught:
        zenith.create(lookup, partner=zenith.partner.slug)
    assert f"tenant {zenith.id} belongs to no partner, not to " in caught.value.message
    assert zenith.create(lookup).subject["partner"] is None


def test_success_partner_admin_creates_under_the_own_partner(
    zenith: UnsyncedTenant, lookup: TenantLookup
) -> None:
    paula = make_partner_admin(zenith.partner)
    assert create(operator=paula).subject["partner"]["id"] == zenith.partner.pk
    assert zenith.create(lookup, operator=paula).subject["partner"]["id"] == zenith.partner.pk


def test_fail_partner_admin_outside_the_own_partner(
    zenith: UnsyncedTenant, lookup: TenantLookup
) -> None:
    paula = make_partner_admin(zenith.other_partner)
    with pytest.raises(PartnerNotFound):
        create(operator=paula, partner=zenith.partner.slug)
    with refuses(ScaiKeyTenantNotFound, f"Tenant not found in ScaiKey: {zenith.id}."):
        zenith.create(lookup, operator=paula)
    with pytest.raises(InsufficientPermission):
        zenith.create(None, operator=paula)
    zenith.other_partner.delete()
    with pytest.raises(PartnerNotFound):
        create(operator=paula)
    assert not Tenant.objects.exists()


def test_fail_not_registered(settings: Settings) -> None:
    settings.CONFIG = load({})
    with refuses(SettingMissing, "This server is not registered with ScaiKey.") as caught:
        run_command(*_words("tnt_1"))
    assert caught.value.fix.startswith("Run `scaiwave sync register`. ")
    assert caught.value.fix.endswith(" Or add --no-verify to skip the check.")
    assert caught.value.exit_code == 2


def test_fail_credentials_are_refused(sandbox: Sandbox) -> None:
    config = make_config(sandbox, SCAIWAVE_SCAIKEY_CLIENT_SECRET="wrong-but-long-enough")
    with pytest.raises(UpstreamUnauthorized) as caught:
        create(scaikey_tenant_id="tnt_1", lookup=build_tenant_lookup(config))
    assert "wrong-but-long-enough" not in str(caught.value)


def test_fail_scaikey_is_down(sandbox: Sandbox, lookup: TenantLookup) -> None:
    sandbox.stop()
    with pytest.raises(UpstreamUnreachable):
        create(scaikey_tenant_id="tnt_1", lookup=lookup)
    assert not Tenant.objects.exists()


def _words(key: str) -> tuple[str, ...]:
    return ("create_tenant", "--slug", "acme", "--name", "Acme", "--scaikey-tenant-id", key)


def test_success_command(zenith: UnsyncedTenant, lookup: TenantLookup) -> None:
    named = ("create_tenant", "--slug", "zenith", "--name", "Zenith Corp")
    words = (*named, "--scaikey-tenant-id", zenith.id)
    assert run_command(*words, "--dry-run") == "Would create tenant zenith.\n"
    document = json.loads(run_command(*words, "--json"))
    key = Tenant.objects.get().pk
    assert (document["tenant"]["id"], document["changed"]) == (str(key), True)
    assert run_command(*words) == f"Tenant zenith already exists ({key}); nothing changed.\n"
    again = json.loads(run_command(*words, "--json"))
    assert again == {"tenant": document["tenant"], "changed": False, "dry_run": False}
    assert run_command("create_tenant", "--slug", "lab", "--name", "Lab", "--local") == (
        f"Tenant lab created ({Tenant.objects.get(slug='lab').pk}).\n"
    )


def test_fail_command_neither_local_nor_linked() -> None:
    with refuses(UsageError, "One of the arguments --scaikey-tenant-id --local is required."):
        run_command("create_tenant", "--slug", "acme", "--name", "Acme")


def test_success_created_concurrently(zenith: UnsyncedTenant, lookup: TenantLookup) -> None:
    def overtaken(key: str) -> Any:
        zenith.create(lookup)
        return lookup(key)

    assert not zenith.create(overtaken).changed
    assert (Tenant.objects.count(), AuditEntry.objects.count()) == (1, 1)


def test_fail_slug_is_taken_concurrently(zenith: UnsyncedTenant, lookup: TenantLookup) -> None:
    def overtaken(key: str) -> Any:
        create(slug="zenith", name="Another")
        return lookup(key)

    with refuses(
        TenantConflict, "Another tenant zenith already exists: 'Another', local, no partner."
    ):
        zenith.create(overtaken)
    assert AuditEntry.objects.count() == 1


@pytest.mark.only_on("postgresql")
@pytest.mark.django_db(transaction=True)
def test_success_concurrent_calls_create_one_tenant() -> None:
    def attempt(name: str) -> str:
        try:
            return "created" if create(name=name).changed else "exists"
        except ScaiWaveError as error:
            return error.code

    outcomes = run_concurrently(*[partial(attempt, name) for name in ("A", "A", "B", "B")])
    assert sorted(outcomes) == ["SW_TENANT_CONFLICT", "SW_TENANT_CONFLICT", "created", "exists"]
    assert (Tenant.objects.count(), AuditEntry.objects.count()) == (1, 1)
