from __future__ import annotations

import json
from typing import Any

import pytest

from scaiwave.core.change import Change
from scaiwave.core.errors import UsageError
from tenants.errors import (
    InvalidLimit,
    InvalidName,
    InvalidSlug,
    ManagedByScaiKey,
    PartnerConflict,
    PartnerNotFound,
)
from tenants.models import AuditEntry, Partner
from tenants.people.update_partner import update_partner
from tests.concurrency import run_concurrently
from tests.tenants.factories import (
    HOST_OPERATOR,
    NOW,
    make_partner,
    run_command,
)

pytestmark = pytest.mark.django_db


def update(**options: Any) -> Change:
    values: dict[str, Any] = {"operator": HOST_OPERATOR, "partner": "northwind", "now": NOW}
    return update_partner(**values | options)


def make_local(slug: str = "northwind", **fields: Any) -> Partner:
    return make_partner(slug, scaikey_id=None, **fields)


def test_success_changed_and_audited() -> None:
    partner = make_local(max_tenants=2000)
    words: tuple[str, ...] = (
        "update_partner",
        "northwind",
        "--name",
        "North",
        "--max-tenants",
        "none",
    )
    words += ("--contact-email", "ops@north.example")
    changes = (
        "  name           Northwind → North\n"
        "  contact_email  none → ops@north.example\n"
        "  max_tenants    2,000 → no limit\n"
    )
    assert run_command(*words, "--dry-run") == f"Would change partner northwind:\n{changes}"
    assert not AuditEntry.objects.exists()
    assert run_command(*words) == f"Partner northwind changed:\n{changes}"
    partner.refresh_from_db()
    assert (partner.name, partner.contact_email, partner.max_tenants) == (
        "North",
        "ops@north.example",
        None,
    )
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.subject_id) == ("update-partner", str(partner.pk))
    assert entry.details["changes"][2] == {"field": "max_tenants", "old": 2000, "new": None}
    again = "Partner northwind already has these values; nothing changed.\n"
    assert run_command(*words) == again
    document = json.loads(run_command(*words, "--json"))
    assert (document["changed"], document["changes"]) == (False, [])
    assert AuditEntry.objects.count() == 1


def test_success_slug() -> None:
    make_local()
    assert update(slug="north").subject["slug"] == "north"
    assert Partner.objects.get().slug == "north"


@pytest.mark.only_on("postgresql")
@pytest.mark.django_db(transaction=True)
def test_success_only_one_of_two_partners_gets_a_slug() -> None:
    make_local("north"), make_local("south")

    def rename(name: str) -> bool:
        try:
            return bool(update(slug="west", partner=name).changed)
        except PartnerConflict:
            return False

    assert sorted(run_concurrently(lambda: rename("north"), lambda: rename("south"))) == [
        False,
        True,
    ]


def test_fail_managed_by_scaikey() -> None:
    make_partner(max_tenants=5)
    with pytest.raises(ManagedByScaiKey) as caught:
        update(name="North", limits={"max_tenants": 9})
    assert caught.value.message == (
        "ScaiKey manages the name and max_tenants of partner northwind (prt_northwind)."
    )
    assert caught.value.fix == "Change it in ScaiKey, then run `scaiwave sync`."
    assert not update(limits={"max_tenants": 5}).changed
    assert Partner.objects.get().name == "Northwind"


def test_fail_another_partner_has_the_slug() -> None:
    make_local(), make_partner("south")
    for dry_run in (True, False):
        with pytest.raises(PartnerConflict) as caught:
            update(slug="south", dry_run=dry_run)
        assert caught.value.message == "Another partner south already exists: 'South'."


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({}, UsageError),
        ({"name": " "}, InvalidName),
        ({"slug": "Not a slug"}, InvalidSlug),
        ({"contact_email": "no address"}, InvalidName),
        ({"limits": {"max_tenants": 2**31}}, InvalidLimit),
        ({"name": "North", "partner": "west"}, PartnerNotFound),
    ],
)
def test_fail_values(changes: dict[str, Any], error: type[Exception]) -> None:
    make_local()
    with pytest.raises(error):
        update(**changes)
    assert not AuditEntry.objects.exists()
