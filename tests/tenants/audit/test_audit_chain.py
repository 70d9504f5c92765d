"""How days are closed: nothing is added to a sealed day, and no act waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from threading import Event
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.utils import timezone

from federation.keys.lifecycle import generate_key
from scaiwave.config import load
from scaiwave.core.locks import process_lock
from scaiwave.core.sql import execute
from scaiwave.ids import new_id
from scaiwave.operations.doctor.audit_seals import check_audit_seals
from scaiwave.operations.doctor.findings import Finding, State
from scaiwave.operations.metrics.collectors import collect_audit_seals
from scaiwave.queue.jobs import JOBS
from tenants import jobs
from tenants.audit.chain import close_days, get_last_ended_day, load_chain
from tenants.audit.queries.format import RECORD_BYTES, get_day, get_next_start_id
from tenants.audit.record import AuditSubject, record_audit
from tenants.audit.seal_audit import LOCK, seal_audit
from tenants.audit.triggers import install_audit_triggers, remove_audit_triggers
from tenants.errors import AuditNotSettled, AuditSealRunning
from tenants.models import AuditChain, AuditEntry, AuditSeal, AuditSealPart
from tests.tenants.audit.seals import (
    DAY,
    PER_DAY,
    TODAY,
    find,
    make_entry,
    prune_audit,
)
from tests.tenants.factories import HOST_OPERATOR

pytestmark = [pytest.mark.django_db, pytest.mark.dated]


def act() -> AuditEntry:
    return record_audit(
        operator=HOST_OPERATOR,
        action="test",
        subject=AuditSubject("test", "1", "test"),
        now=timezone.now(),
    )


def doctor() -> Finding:
    (finding,) = check_audit_seals(load({}), TODAY)
    return finding


def test_success_day_of_an_id() -> None:
    assert get_day(new_id()) == timezone.now().date()
    with pytest.raises(ValueError, match="is not an ID"):
        get_day(UUID(int=2**128 - 1))


def test_success_entries_of_a_clock_that_is_behind() -> None:
    """They are added to the first open day, in their order."""
    before = act()
    day = timezone.now().date() + 3 * DAY  # as seen by a server that is ahead
    close_days(load_chain(), day)
    entries = [act() for _ in range(5)]
    assert [get_day(entry.pk) for entry in entries] == [day + DAY] * 5
    keys = [entry.pk for entry in entries]
    assert keys == sorted(keys)
    assert keys[0] > get_next_start_id(day) > before.pk
    assert {key.version for key in keys} == {7}
    assert {key.variant for key in keys} == {before.pk.variant}


def test_success_days_are_never_opened_again() -> None:
    day = timezone.now().date()
    close_days(load_chain(), day)
    close_days(load_chain(), day - 9 * DAY)
    assert AuditChain.objects.get().open_from == get_next_start_id(day)


def test_success_day_ends_ten_minutes_after_midnight() -> None:
    midnight = TODAY.replace(hour=0)
    assert get_last_ended_day(midnight + timedelta(minutes=9)) == (midnight - 2 * DAY).date()
    assert get_last_ended_day(midnight + timedelta(minutes=10)) == (midnight - DAY).date()


@pytest.mark.only_on("postgresql")
def test_success_clock_that_is_ahead_of_the_database() -> None:
    assert get_last_ended_day(timezone.now() + 100 * DAY) < timezone.now().date()


def test_success_clock_that_went_back(sealed: list[AuditEntry]) -> None:
    assert seal_audit(operator=HOST_OPERATOR, now=TODAY - 2 * DAY).figures["days"] == 0
    assert find() == []


def test_success_interrupted_seal_is_replaced(sealed: list[AuditEntry]) -> None:
    day = TODAY.date()
    make_entry(day)
    for number in (0, 7):
        AuditSealPart.objects.create(day=day, number=number, hashes=b"x" * RECORD_BYTES)
    seal_audit(operator=HOST_OPERATOR, now=TODAY + DAY)
    assert find(TODAY + DAY) == []


def test_success_job() -> None:
    definition = JOBS["tenants.jobs.seal_audit"]
    assert definition.cron == "17 * * * *"
    remove_audit_triggers()
    make_entry(timezone.now().date() - 2 * DAY)
    assert jobs.seal_audit() == {
        "days": 0,
        "entries": 0,
        "reason": "This server has no signing key.",
    }
    generate_key(operator=HOST_OPERATOR, now=timezone.now())
    assert jobs.seal_audit()["entries"] == 1
    assert jobs.seal_audit() == {"days": 0, "entries": 0}


def test_success_doctor_and_metrics() -> None:
    assert doctor().message == "No day of the audit log is due to be sealed."
    make_entry(TODAY.date() - 5 * DAY)
    assert doctor().message == (
        "The days of the audit log from 2021-11-19 on are not sealed: this server has no signing "
        "key."
    )
    assert [metric.samples[0][1] for metric in collect_audit_seals(TODAY)] == [5]
    generate_key(operator=HOST_OPERATOR, now=TODAY)
    assert (doctor().state, doctor().fix.split(",")[0]) == (
        State.WARN,
        "Run `scaiwave admin audit seal`",
    )
    seal_audit(operator=HOST_OPERATOR, now=TODAY)
    assert doctor().message == "The audit log is sealed through 2021-11-23."
    metrics = {metric.name: metric.samples[0][1] for metric in collect_audit_seals(TODAY)}
    midnight = TODAY.replace(hour=0)
    assert metrics == {
        "audit_unsealed_days": 0,
        "audit_sealed_until_timestamp_seconds": midnight.timestamp(),
    }
    AuditChain.objects.update(sealed_through=TODAY.date(), seals=99)
    assert (doctor().state, doctor().message.partition(",")[0]) == (
        State.WARN,
        "The audit log is sealed through 2021-11-24",
    )


@pytest.mark.django_db(transaction=True)
class TestConcurrency:
    """Each call in `elsewhere` is another connection."""

    @pytest.fixture
    def elsewhere(self) -> Iterator[Callable[[Callable[[], object]], Future[object]]]:
        with ThreadPoolExecutor(4) as pool:

            def run(function: Callable[[], object]) -> Future[object]:
                def call() -> object:
                    try:
                        return function()
                    finally:
                        connection.close()

                return pool.submit(call)

            yield run

    @pytest.mark.only_on("postgresql")
    def test_success_late_commit_is_in_its_day(
        self, elsewhere: Callable[[Callable[[], object]], Future[object]]
    ) -> None:
        """An entry of yesterday whose transaction is open after midnight delays the seal."""
        now = timezone.now()
        generate_key(operator=HOST_OPERATOR, now=now)
        remove_audit_triggers()
        make_entry(now.date() - 3 * DAY)
        written, may_commit = Event(), Event()

        def write_slowly() -> None:
            with transaction.atomic():
                act()
                make_entry(now.date() - 2 * DAY)
                written.set()
                assert may_commit.wait(60)

        writer = elsewhere(write_slowly)
        assert written.wait(60)
        with pytest.raises(AuditNotSettled, match="a transaction is open since") as caught:
            seal_audit(operator=HOST_OPERATOR, now=now, settle_seconds=0.2)
        assert caught.value.code == "SW_AUDIT_NOT_SETTLED"
        assert not AuditSeal.objects.exists()
        act()  # Other acts do not wait.
        sealing = elsewhere(lambda: seal_audit(operator=HOST_OPERATOR, now=now))
        may_commit.set()
        writer.result(60)
        assert sealing.result(60).figures["entries"] == 2  # type: ignore[attr-defined]
        assert find(now) == []

    @pytest.mark.only_on("postgresql")
    def test_success_transaction_that_has_not_written_yet(
        self, elsewhere: Callable[[Callable[[], object]], Future[object]]
    ) -> None:
        """It reads the chain when it writes, so the seal need not wait for it."""
        now = timezone.now()
        generate_key(operator=HOST_OPERATOR, now=now)
        remove_audit_triggers()
        make_entry(now.date() - 2 * DAY)
        begun, may_write = Event(), Event()

        def write_late() -> UUID:
            with transaction.atomic():
                AuditEntry.objects.count()
                begun.set()
                assert may_write.wait(60)
                return act().pk

        writer = elsewhere(write_late)
        assert begun.wait(60)
        assert seal_audit(operator=HOST_OPERATOR, now=now, settle_seconds=0).figures["days"] > 0
        may_write.set()
        writer.result(60)
        assert find(now) == []

    @pytest.mark.only_on("postgresql")
    def test_success_retention_and_acts_do_not_wait_for_each_other(
        self, elsewhere: Callable[[Callable[[], object]], Future[object]], sealed: list[AuditEntry]
    ) -> None:
        now = TODAY + 34 * DAY  # 35 days after the last sealed day, the only one that stays
        seal_audit(operator=HOST_OPERATOR, now=now)
        install_audit_triggers()
        written, may_commit = Event(), Event()

        def write_slowly() -> None:
            with transaction.atomic():
                act()
                written.set()
                assert may_commit.wait(60)

        writer = elsewhere(write_slowly)
        assert written.wait(60)
        try:
            with transaction.atomic():
                execute("SET LOCAL lock_timeout = '1s'")  # fails where it would wait for ever
                prune_audit(now, 35)
                elsewhere(act).result(60)  # before the retention commits
        finally:
            may_commit.set()
            writer.result(60)
        assert AuditEntry.objects.filter(action="update-tenant").count() == PER_DAY
        assert AuditEntry.objects.filter(action="test").count() == 2
        remove_audit_triggers()
        assert find(now) == []

    def test_fail_another_process_is_sealing(
        self, elsewhere: Callable[[Callable[[], object]], Future[object]]
    ) -> None:
        locked, may_end = Event(), Event()

        def hold() -> None:
            with process_lock(LOCK) as is_free:
                assert is_free
                locked.set()
                assert may_end.wait(60)

        holder = elsewhere(hold)
        assert locked.wait(60)
        try:
            with pytest.raises(AuditSealRunning):
                seal_audit(operator=HOST_OPERATOR, now=TODAY)
        finally:
            may_end.set()
            holder.result(60)
