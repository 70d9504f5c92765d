"""The rooms plan, judge and apply through their values alone: without a server, a lock or a run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.utils import timezone

from identity_sync.models import Limit
from identity_sync.report import KindCounts
from identity_sync.sync.apply.write import apply_plan
from identity_sync.sync.confirm.confirm_losses import Confirmed
from identity_sync.sync.fetch.lists import (
    Fetched,
    stage_off_tenants,
    stage_records,
    stage_scope,
)
from identity_sync.sync.fetch.scope import SyncScope
from identity_sync.sync.judge.limits import judge_plan
from identity_sync.sync.plan.make_plan import make_plan
from identity_sync.sync.rules import RemovalLimit, Rules
from identity_sync.sync.staging import copy_rows, temporary_tables
from scaiwave.clients.scaikey.schemas import ScaiKeyTenantRecord, UserRecord
from scaiwave.core.sql import fetch
from tenants.models import Participant
from tests.tenants.factories import make_person, make_tenant

pytestmark = pytest.mark.django_db

NUMBER = 21


@pytest.fixture
def confirmed() -> Iterator[Confirmed]:
    """The removals of 21 people are confirmed. ScaiKey has returned their tenant, and Bo."""
    tenant = make_tenant()
    key = str(tenant.scaikey_tenant_id)
    people = [make_person(tenant, f"person{n}") for n in range(NUMBER)]
    scope = SyncScope("GLOBAL")
    with temporary_tables():
        stage_scope(scope)
        stage_off_tenants(removals=True)
        record = ScaiKeyTenantRecord(id=key, name=tenant.name, slug=tenant.slug, status="ACTIVE")
        stage_records("tenants", [record])
        stage_records("participants", [UserRecord(id="usr_bo", tenant_id=key, display_name="Bo")])
        rows = (("participants", person.scaikey_id, "removed", None) for person in people)
        copy_rows("confirmed_removals", rows)
        kinds = ["tenants", "participants"]
        fetched = Fetched(scope, kinds, present={"tenants": 1, "participants": NUMBER})
        yield Confirmed(fetched, [], [], 0, {})


def make_rules(limit: int) -> Rules:
    return Rules(RemovalLimit(limit=limit, share=0.1), timezone.now())


def test_success_a_plan_names_every_change(confirmed: Confirmed) -> None:
    plan = make_plan(confirmed)
    assert plan.kinds["participants"] == KindCounts(seen=1, added=1, deactivated=NUMBER)
    assert (plan.warnings, plan.conflicts) == ([], [])
    planned = "SELECT count(*) FROM sync_plan WHERE kind = 'participants' AND row_id IS NOT NULL"
    assert fetch(planned) == [(NUMBER + 1,)]


def test_success_as_many_losses_as_the_limit_are_applied(confirmed: Confirmed) -> None:
    verdict = judge_plan(make_plan(confirmed), make_rules(NUMBER))
    assert (verdict.pending, verdict.losses["people"]) == (0, NUMBER)
    counted = [(each.measure, each.number) for each in verdict.counted]
    assert counted == [("affected_people", NUMBER), ("people", NUMBER)]

    apply_plan(timezone.now(), verdict.plan.kinds)

    present = Participant.objects.filter(absent_since=None)
    assert [person.display_name for person in present] == ["Bo"]


def test_fail_one_loss_more_than_the_limit_lets_all_wait(confirmed: Confirmed) -> None:
    verdict = judge_plan(make_plan(confirmed), make_rules(NUMBER - 1))
    assert (verdict.pending, verdict.losses["people"], verdict.counted) == (NUMBER, 0, [])
    assert fetch("SELECT DISTINCT state, limit_code FROM removals") == [("pending", Limit.TENANT)]

    apply_plan(timezone.now(), verdict.plan.kinds)

    assert Participant.objects.filter(absent_since=None).count() == NUMBER + 1
