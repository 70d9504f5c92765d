"""A sync succeeds although ScaiKey fails at random: a few of its responses are a 500.

SCAIWAVE_TEST_NIGHTLY=1 repeats ten syncs of 10,000 requests with 1 % of them.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import transaction
from pytest_django import Settings

from tests.identity_sync.scripted_scaikey.assertions import collect_local_facts
from tests.identity_sync.scripted_scaikey.directory import RemoteDirectory, Size
from tests.identity_sync.scripted_scaikey.helpers import serve_scripted_scaikey
from tests.identity_sync.scripted_scaikey.script import Script
from tests.identity_sync.scripted_scaikey.server import ScriptedScaiKey
from tests.identity_sync.sync.helpers import sync
from tests.tools import NIGHTLY

pytestmark = pytest.mark.django_db

REQUESTS = 10_000


@pytest.fixture
def scaikey(settings: Settings) -> Iterator[ScriptedScaiKey]:
    with serve_scripted_scaikey(settings) as server:
        yield server


def make_directory(groups: int) -> RemoteDirectory:
    """Make a directory whose groups take a request each, since there is no SCIM."""
    directory = RemoteDirectory(Size(tenants=3, people=60))
    tenants = list(directory.lists["tenants"].rows)
    for number in range(groups):
        tenant = tenants[number % len(tenants)]
        people = directory.list_contained("users", tenant)
        directory.add_group(tenant, people[number % 7 : number % 7 + 3])
    return directory


def assert_success(scaikey: ScriptedScaiKey, groups: int, script: Script) -> None:
    with transaction.atomic():
        scaikey.load(make_directory(groups))
        scaikey.begin_run(script)
        report = sync()
        assert report.outcome == "applied"
        assert collect_local_facts() == scaikey.directory.collect_facts()
        responses = scaikey.responses
        assert responses[200] >= groups
        # Far from what is expected, nothing would be proven.
        assert responses[500] > script.failures * groups / 2
        transaction.set_rollback(True)


@pytest.mark.parametrize("failures", [0.02, 0.05, 0.1])
def test_success_some_responses_fail(scaikey: ScriptedScaiKey, failures: float) -> None:
    assert_success(scaikey, 300, Script(failures=failures, failure_seed=int(failures * 100)))


@pytest.mark.skipif(not NIGHTLY, reason="SCAIWAVE_TEST_NIGHTLY is not set.")
@pytest.mark.parametrize("seed", range(10))
def test_success_10_000_requests(scaikey: ScriptedScaiKey, seed: int) -> None:
    assert_success(scaikey, REQUESTS, Script(failures=0.01, failure_seed=seed))
