from __future__ import annotations

import json
from typing import Any

import pytest

from scaiwave.core.change import Change
from tenants.errors import InvalidLimit, InvalidName, InvalidSlug, PartnerConflict
from tenants.models import AuditEntry, Partner
from tenants.people.create_partner import create_partner
from tests.concurrency import run_concurrently
from tests.refusals import refuses
from tests.tenants.factories import (
    HOST_OPERATOR,
    NOW,
    make_partner,
    run_command,
)

pytestmark = pytest.mark.django_db


def create(**changes: Any) -> Change:
    """Create Northwind as the host operator; the changes replace its values."""
    values: dict[str, Any] = {"slug": "northwind", "name": "Northwind", "scaikey_id": None}
    return create_partner(**{"operator": HOST_OPERATOR, "limits": {}, **values, **changes}, now=NOW)


def test_success_created_and_audited() -> None:
    result = create(scaikey_id="prt_1", limits={"max_tenants": 20})
    partner, entry = Partner.objects.get(), AuditEntry.objects.get()
    assert (result.changed, result.subject["id"]) == (True, partner.pk)
    assert (partner.slug, partner.name, partner.created_at) == ("northwind", "Northwind", NOW)
    assert (partner.scaikey_id, partner.max_tenants, partner.is_active) == ("prt_1", 20, True)
    assert (entry.action, entry.subject_id) == ("create-partner", str(partner.pk))
    assert (entry.subject_type, entry.tenant_id) == ("partner", "")
    assert entry.details == {"name": "Northwind", "scaikey_id": "prt_1", "max_tenants": 20}


def test_success_repeated_finds_the_partner() -> None:
    first, again = create(limits={"max_tenants": 20}), create(limits={"max_tenants": 20})
    assert (first.changed, again.changed) == (True, False)
    assert again.subject == first.subject == create().subject
    assert (Partner.objects.count(), AuditEntry.objects.count()) == (1, 1)


def test_success_dry_run_writes_nothing() -> None:
    result = create(dry_run=True)
    assert (result.subject["id"], result.dry_run) == (None, True)
    assert not Partner.objects.exists()
    assert not AuditEntry.objects.exists()


def test_success_command() -> None:
    words = ("create_partner", "--slug=northwind", "--name=Northwind", "--max-tenants=20")
    assert run_command(*words, "--dry-run") == "Would create partner northwind.\n"
    document = json.loads(run_command(*words, "--json"))
    partner = Partner.objects.get()
    assert (document["changed"], document["partner"]["id"]) == (True, str(partner.pk))
    assert (
        run_command(*words)
        == f"Partner northwind already exists ({partner.pk}); nothing changed.\n"
    )


@pytest.mark.parametrize(
    "changes", [{"name": "Other"}, {"scaikey_id": "prt_2"}, {"limits": {"max_tenants": None}}]
)
def test_fail_slug_is_taken(changes: dict[str, Any]) -> None:
    make_partner(max_tenants=20, max_users_per_tenant=5)
    with refuses(
        PartnerConflict,
        "Another partner northwind already exists: 'Northwind', ScaiKey partner "
        "prt_northwind, max_tenants 20, max_users_per_tenant 5.",
        "Choose another slug. `scaiwave admin show-partner northwind` shows that partner.",
    ):
        create(**{"scaikey_id": "prt_northwind", **changes})


def test_fail_scaikey_id_is_taken() -> None:
    make_partner("other", scaikey_id="prt_1")
    with refuses(
        PartnerConflict, "ScaiKey partner prt_1 already exists as partner other ('Other')."
    ):
        create(scaikey_id="prt_1")


def test_fail_what_is_not_valid() -> None:
    with refuses(InvalidSlug, "Invalid slug of a partner: 'North': 'N' is not allowed."):
        create(slug="North")
    with refuses(InvalidName, "Invalid name of a partner: ''."):
        create(name="")
    with pytest.raises(InvalidName) as scaikey_id:
        create(scaikey_id="a b")
    assert scaikey_id.value.message == "Invalid ScaiKey ID of a partner: 'a b'."
    assert scaikey_id.value.fix == ("Copy the ID from ScaiKey. Omit it to create a local partner.")
    with refuses(InvalidLimit, "Invalid limit max_tenants of a partner: 2147483648."):
        create(limits={"max_tenants": 2**31})


@pytest.mark.only_on("postgresql")
@pytest.mark.django_db(transaction=True)
def test_success_two_at_once_make_one() -> None:
    """The slug is not unique in the database, so one has to wait for the other."""
    results = run_concurrently(create, create)
    assert sorted(result.changed for result in results) == [False, True]
    assert (Partner.objects.count(), AuditEntry.objects.count()) == (1, 1)
