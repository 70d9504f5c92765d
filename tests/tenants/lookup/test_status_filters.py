from __future__ import annotations

from itertools import product

import pytest

from tenants.lookup.status_filters import STATUSES, status_q
from tenants.models import Participant, Tenant
from tests.tenants.factories import EARLIER, make_person

pytestmark = pytest.mark.django_db


def test_success_filters_agree_with_the_model(tenant: Tenant) -> None:
    facts = product(("", "ACTIVE", "SUSPENDED", "ODD"), (None, EARLIER), (None, EARLIER))
    for index, (at_scaikey, absent, by_hand) in enumerate(facts):
        make_person(
            tenant,
            f"p{index}",
            scaikey_status=at_scaikey,
            absent_since=absent,
            suspended_by_hand_at=by_hand,
        )
    people = list(Participant.objects.all())
    for status in STATUSES:
        expected = {person for person in people if status in {person.status, "all"}}
        if status == "inactive":
            expected = {person for person in people if not person.is_active}
        assert set(Participant.objects.filter(status_q(status))) == expected
        assert expected
