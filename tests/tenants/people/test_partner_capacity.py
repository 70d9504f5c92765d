"""A partner never has more tenants than `max_tenants`, even if two commands run at once."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

import pytest

from scaiwave.core.errors import ScaiWaveError
from tenants.errors import PartnerFull
from tenants.models import Tenant
from tenants.people.create_tenant import create_tenant
from tenants.people.update_tenant import TenantUpdate, update_tenant
from tests.concurrency import run_concurrently
from tests.databases import copy_database
from tests.scaiwave.cli_helpers import SCRIPT, run_scaiwave, start_process
from tests.tenants.factories import (
    HOST_OPERATOR,
    NOW,
    make_partner,
    make_partner_admin,
    make_tenant,
)

create = partial(
    create_tenant,
    operator=HOST_OPERATOR,
    name="Acme Corp",
    scaikey_tenant_id=None,
    lookup=None,
    now=NOW,
)


@pytest.mark.django_db
def test_fail_a_full_partner_gets_no_tenant_in_any_way() -> None:
    partner = make_partner(max_tenants=2)
    make_tenant("one", partner=partner)
    make_tenant("removed", partner=partner, absent_since=NOW)
    create(slug="two", partner="northwind")
    local = make_tenant("three", scaikey_tenant_id=None)

    for attempt in (
        partial(create, slug="more", partner="northwind"),
        partial(create, slug="more", partner=None, operator=make_partner_admin(partner)),
        partial(create, slug="more", partner="northwind", dry_run=True),
        partial(
            update_tenant,
            operator=HOST_OPERATOR,
            tenant=local.slug,
            update=TenantUpdate(partner="northwind"),
            now=NOW,
        ),
    ):
        with pytest.raises(PartnerFull) as caught:
            attempt()
        assert caught.value.message == "Partner northwind has 2 of 2 tenants."
    assert Tenant.objects.filter(partner=partner, absent_since=None).count() == 2
    # What exists already, or stays with its partner, does not count as a new tenant.
    assert not create(slug="two", partner="northwind").changed
    update_tenant(
        operator=HOST_OPERATOR,
        tenant="two",
        update=TenantUpdate(partner="northwind", name="Renamed"),
        now=NOW,
    )


@pytest.mark.django_db
def test_success_a_partner_without_a_limit() -> None:
    make_partner(max_tenants=None)
    assert create(slug="one", partner="northwind").changed


@pytest.mark.only_on("postgresql")
@pytest.mark.django_db(transaction=True)
def test_fail_concurrent_calls_do_not_exceed_the_limit() -> None:
    make_partner(max_tenants=2, scaikey_id=None)

    def attempt(slug: str) -> str:
        try:
            create(slug=slug, partner="northwind")
        except ScaiWaveError as error:
            return error.code
        return "created"

    outcomes = run_concurrently(*(partial(attempt, f"tenant-{n}") for n in range(6)))

    assert sorted(outcomes) == ["SW_PARTNER_CAPACITY"] * 4 + ["created"] * 2
    assert Tenant.objects.count() == 2


def test_fail_concurrent_commands_do_not_exceed_the_limit(database_url: str, migrated: str) -> None:
    """As processes, so that SQLite has its own connections too."""
    copy_database(migrated, database_url)
    words = ("create-partner", "--slug", "north", "--name", "North", "--max-tenants", "1")
    assert run_scaiwave("admin", *words).code == 0
    words = ("create-tenant", "--local", "--name", "X", "--partner-id", "north", "--slug")
    with ExitStack() as stack:
        processes = [
            stack.enter_context(start_process([*SCRIPT, "admin", *words, f"tenant-{number}"]))
            for number in range(3)
        ]
        errors = [process.communicate(timeout=60)[1] for process in processes]
    assert sorted(process.returncode for process in processes) == [0, 1, 1]
    assert sum("Partner north has 1 of 1 tenants. [SW_PARTNER_CAPACITY]" in e for e in errors) == 2
