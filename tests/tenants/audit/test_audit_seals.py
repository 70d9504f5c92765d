"""Seals over the audit log: what changes behind the back of the suite, and is found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from federation.keys.lifecycle import generate_key
from federation.models import ServerKey
from scaiwave.console.columns import ColumnType
from scaiwave.console.progress import ProgressCallback
from scaiwave.core.errors import UsageError
from scaiwave.core.sql import execute, uuid_param
from scaiwave.ids import new_id
from tenants.audit.queries.format import FIELDS, get_start_id, hash_statement
from tenants.audit.queries.problems import Kind
from tenants.audit.queries.verify_audit import verify_audit
from tenants.audit.seal_audit import record_pruning, seal_audit
from tenants.audit.triggers import remove_audit_triggers
from tenants.errors import AuditChanged
from tenants.models import AuditChain, AuditEntry, AuditPruning, AuditSeal, AuditSealPart
from tests.tenants.audit.seals import (
    DAY,
    DAYS,
    EMPTY_DAY,
    FIRST_DAY,
    TODAY,
    change,
    delete,
    find,
    is_postgresql,
    make_entry,
    make_sealed_log,
    prune_audit,
    verify,
)
from tests.tenants.factories import (
    HOST_OPERATOR,
    run_command,
)
from tests.tools import count_examples

pytestmark = [pytest.mark.django_db, pytest.mark.dated]

CHANGES = {
    "at": "2021-11-20 08:30:15.120001+00:00",
    "operator": "root",
    "operator_id": "",
    "operator_role": "host",
    "origin": "203.0.113.8",
    "action": "update-tenant ",
    "tenant_id": "x",
    "tenant_slug": "Acme",
    "subject_type": "room",
    "subject_id": "2",
    "subject_name": "Zoe\u0308 & Söhne",  # the same letters, composed otherwise
    "details": '{"changes": [{"field": "max_rooms", "old": 5, "new": 6.51}]}',
}


@contextmanager
def undone() -> Iterator[None]:
    """Undo the changes of a block, so that a sealed log serves many of them."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def named(kind: str, entry: AuditEntry, day: date = FIRST_DAY) -> tuple[str, str, str]:
    return kind, str(day), str(entry.pk)


def test_success_sealed_log_is_intact(sealed: list[AuditEntry]) -> None:
    result = verify()
    assert result.error is None
    newest = AuditSeal.objects.get(number=DAYS)
    assert result.facts() == {
        "seals": DAYS,
        "entries": len(sealed),
        "first_day": "2021-11-20",
        "last_day": "2021-11-23",
        "pruned_through": None,
        "unsealed_entries": 0,
        "newest_seal": f"4:{hash_statement(newest.statement)}",
        "key_id": ServerKey.objects.get().key_id,
    }
    assert result.sentence == (
        "The audit log is as it was sealed: 4 seals and 9 entries from 2021-11-20 to 2021-11-23."
    )
    assert list(AuditSeal.objects.order_by("number").values_list("day", "entries")) == [
        (date(2021, 11, 20), 3),
        (date(2021, 11, 21), 3),
        (EMPTY_DAY, 0),
        (date(2021, 11, 23), 3),
    ]


def test_success_every_column_is_sealed() -> None:
    assert {field.column for field in AuditEntry._meta.concrete_fields} == set(FIELDS)
    assert set(CHANGES) == set(FIELDS) - {"id"}


def test_fail_changed_column() -> None:
    entry = make_sealed_log()[0]
    for name, value in CHANGES.items():
        with undone():
            change(entry, name, "%s", value)
            assert find() == [named("changed", entry)], name


def test_fail_changed_id(sealed: list[AuditEntry]) -> None:
    for other, kinds in (
        (new_id(), ["missing"]),
        (UUID(int=sealed[0].pk.int + 1), ["inserted", "missing"]),  # within the day
    ):
        with undone():
            change(sealed[0], "id", "%s", uuid_param(other))
            problems = find()
            assert sorted(kind for kind, _, _ in problems) == kinds
            assert named("missing", sealed[0]) in problems


def test_fail_deleted(sealed: list[AuditEntry]) -> None:
    delete(sealed[1], sealed[5])
    assert find() == [
        named("missing", sealed[1]),
        named("missing", sealed[5], FIRST_DAY + DAY),
    ]


def test_fail_inserted(sealed: list[AuditEntry]) -> None:
    for day, hour in ((FIRST_DAY, 1), (FIRST_DAY, 9), (FIRST_DAY, 23), (EMPTY_DAY, 9)):
        with undone():
            entry = make_entry(day, hour)
            assert find() == [named("inserted", entry, day)]
    entry = make_entry(FIRST_DAY - 100 * DAY)
    assert find() == [("inserted", None, str(entry.pk))]


def test_fail_two_entries_swapped() -> None:
    first, second = make_sealed_log()[:2]
    AuditEntry.objects.filter(pk=first.pk).update(action="create-tenant")
    # The contents and the IDs of two rows are exchanged; both are sealed again as they were.
    for one, action in ((first, "update-tenant"), (second, "create-tenant")):
        change(one, "action", "%s", action)
    assert find() == [named("changed", second)]
    change(second, "action", "%s", "update-tenant")
    assert find() == []
    change(first, "at", "%s", str(second.at))
    change(second, "at", "%s", str(first.at))
    assert find() == [named("changed", first), named("changed", second)]


def test_fail_whole_day_removed(sealed: list[AuditEntry]) -> None:
    delete(*sealed[3:6])
    day = FIRST_DAY + DAY
    assert find() == [named("missing", entry, day) for entry in sealed[3:6]]
    AuditSealPart.objects.filter(day=day).delete()
    assert find() == [("day_changed", str(day), None)]
    AuditSeal.objects.filter(day=day).delete()
    assert find() == [("seal_missing", str(day), None)]


def test_fail_seal_removed(sealed: list[AuditEntry]) -> None:
    """The entries of the day are not known to be wrong."""
    for number in (1, 2, DAYS):
        with undone():
            AuditSeal.objects.filter(number=number).delete()
            assert [kind for kind, _, _ in find()] == ["seal_missing"]


def test_fail_new_entries_may_get_ids_of_sealed_days(sealed: list[AuditEntry]) -> None:
    AuditChain.objects.update(open_from=get_start_id(FIRST_DAY))
    assert find() == [("state_changed", None, None)]
    seal_audit(operator=HOST_OPERATOR, now=TODAY + DAY)
    assert find(TODAY + DAY) == []


DEEP = '{"x": ' + "[" * 900 + "]" * 900 + "}"


READ_DIFFERENTLY = (
    '{"changes": [{"field": "max_rooms", "old": 5, "new": 6.50000000000000001}], "forced": true}',
    '{"changes": [{"field": "max_rooms", "old": 5, "new": 6.5}], "forced": 1e999}',
    '{"changes": [], "changes": [{"field": "max_rooms", "old": 5, "new": 6.5}], "forced": true}',
    DEEP,
)


def test_fail_details_that_programs_read_differently() -> None:
    """What json_extract of SQLite returns first is not what Python reads last."""
    entry = make_sealed_log()[0]
    for details in READ_DIFFERENTLY:
        # PostgreSQL itself keeps the last of two.
        is_same = is_postgresql() and details.startswith('{"changes": [], ')
        with undone():
            change(entry, "details", "%s", details)
            assert find() == ([] if is_same else [named("changed", entry)]), details[:60]


@pytest.mark.parametrize("details", [DEEP, '{"n": 6.50000000000000001}', '{"n": 1e999}'])
def test_success_strange_details_are_sealed_as_they_are(details: str) -> None:
    make_sealed_log()
    entry = make_entry(TODAY.date())
    change(entry, "details", "%s", details)
    assert seal_audit(operator=HOST_OPERATOR, now=TODAY + DAY).figures["entries"] == 1
    assert find(TODAY + DAY) == []
    change(entry, "details", "%s", details[:-1] + " }")  # the same value
    change(entry, "details", "%s", details.replace("}", ', "a": 1}'))
    assert find(TODAY + DAY) == [named("changed", entry, TODAY.date())]


def test_fail_seal_changed(sealed: list[AuditEntry]) -> None:
    columns = {"number": 77, "day": date(2031, 1, 1), "entries": 9, "key_id": "x"}
    unreadable = ("", "{}", "[1]", "not JSON", '{"number": NaN}')
    changes = [*columns.items(), *(("statement", text) for text in unreadable)]
    for column, value in changes:
        with undone():
            AuditSeal.objects.filter(number=2).update(**{column: value})
            assert "seal_changed" in {kind for kind, _, _ in find()}, (column, value)
    valid = AuditSeal.objects.get(number=2).signature
    same_bytes = f"{valid[:-3]}{chr(ord(valid[-3]) + 1)}=="  # bits that base64 disregards
    for signature in ("", "x", "é", "AAAA", "A" * 86 + "==", same_bytes):
        with undone():
            AuditSeal.objects.filter(number=2).update(signature=signature)
            assert find() == [("signature_wrong", str(FIRST_DAY + DAY), None)], signature


def test_fail_statement_changed(sealed: list[AuditEntry]) -> None:
    seal = AuditSeal.objects.get(number=2)
    AuditSeal.objects.filter(number=2).update(
        statement=seal.statement.replace("2021-11-24T", "2021-11-25T")
    )
    day = str(FIRST_DAY + DAY)
    assert find() == [("signature_wrong", day, None), ("chain_broken", str(EMPTY_DAY), None)]
    assert sealed


def test_fail_hashes_changed(sealed: list[AuditEntry]) -> None:
    part = AuditSealPart.objects.get(day=FIRST_DAY)
    changed = bytes(part.hashes)[:-1] + b"\0"
    AuditSealPart.objects.filter(pk=part.pk).update(hashes=changed)
    assert find() == [("hashes_changed", str(FIRST_DAY), None)]
    change(sealed[0], "action", "%s", "x")
    kinds = [kind for kind, _, _ in find()]
    assert kinds[0] == "day_changed"
    assert named("changed", sealed[0]) in find()


def test_success_prune_whole_sealed_days(sealed: list[AuditEntry], pruned: datetime) -> None:
    assert AuditEntry.objects.filter(pk__in=[entry.pk for entry in sealed]).count() == 3
    result = verify(pruned)
    assert result.error is None
    assert (result.seals, result.pruned_through) == (38, "2021-11-22")
    # The seals stay, and a removed one is found.
    AuditSeal.objects.filter(number=1).delete()
    assert [kind for kind, _, _ in find(pruned)] == ["seal_missing"]


def test_fail_inserted_into_a_pruned_day(pruned: datetime) -> None:
    entry = make_entry(FIRST_DAY)
    assert find(pruned) == [("inserted", None, str(entry.pk))]


def test_fail_pruned_early(sealed: list[AuditEntry]) -> None:
    """Someone who can have statements signed deletes what is not old enough."""
    execute("DELETE FROM sw_audit_entries")
    AuditSealPart.objects.all().delete()
    record_pruning(AuditSeal.objects.get(number=DAYS), 9, TODAY)
    assert "pruning_invalid" in [kind for kind, _, _ in find()]
    assert "day_changed" in [kind for kind, _, _ in find()]


def test_fail_pruning_forged(pruned: datetime) -> None:
    with undone():
        AuditPruning.objects.update(through=date(2021, 11, 23))
        assert ("pruning_invalid", "2021-11-23", None) in find(pruned)
    pruning = AuditPruning.objects.get()
    execute("DELETE FROM sw_audit_entries WHERE id < %s", [uuid_param(new_id())])
    AuditPruning.objects.filter(pk=pruning.pk).update(
        through=date(2021, 11, 23),
        statement=pruning.statement.replace("2021-11-22", "2021-11-23"),
    )
    assert ("pruning_invalid", "2021-11-23", None) in find(pruned)


def test_success_older_backup_restored(sealed: list[AuditEntry]) -> None:
    """What was sealed after the backup is sealed again, and what the host remembers differs."""
    with transaction.atomic():
        make_entry(TODAY.date())
        seal_audit(operator=HOST_OPERATOR, now=TODAY + DAY)
        transaction.set_rollback(True)
    make_entry(TODAY.date(), action="other")
    assert seal_audit(operator=HOST_OPERATOR, now=TODAY + DAY).figures["days"] == 1
    assert find(TODAY + DAY) == [("differs_from_remembered", None, None)]
    seal_audit(operator=HOST_OPERATOR, now=TODAY + DAY, accept_restored=True)
    assert find(TODAY + DAY) == []


UNLIKE_SQLITE = (
    ("at", "'nonsense'"),
    ("at", "x'00ff'"),
    ("operator", "CAST(x'ff' AS text)"),
    ("operator", "x'616e6e61406578616d706c652e636f6d'"),  # the same bytes, as a BLOB
    ("details", "'{'"),
    ("details", "'\"' || x'ff' || '\"'"),
    ("id", "'nonsense'"),
    ("id", "upper(id)"),
    ("id", "x'ff'"),
)
UNLIKE_PYTHON = (
    ("at", "'infinity'"),
    ("at", "at - interval '4052 years'"),  # the same digits, before Christ
    ("details", "('{\"n\": ' || repeat('9', 5000) || '}')::jsonb"),
    ("details", "'null'"),
)


def test_fail_values_that_no_application_writes() -> None:
    entry = make_sealed_log()[0]
    if not is_postgresql():
        execute("PRAGMA ignore_check_constraints = ON")
    try:
        for column, sql in UNLIKE_PYTHON if is_postgresql() else UNLIKE_SQLITE:
            with undone():
                change(entry, column, sql)
                expected = named("missing" if column == "id" else "changed", entry)
                assert expected in find(), (column, sql)
    finally:
        if not is_postgresql():
            execute("PRAGMA ignore_check_constraints = OFF")


def test_success_many_entries_in_several_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("tenants.audit.seal_audit.MAX_PART_ENTRIES",):
        monkeypatch.setattr(module, 2)
    monkeypatch.setattr("tenants.audit.queries.records.BATCH_SIZE", 2)
    entries = make_sealed_log()
    assert AuditSealPart.objects.count() == 6
    assert find() == []
    delete(entries[1], entries[2])
    inserted = make_entry(FIRST_DAY, 22)
    assert find() == [
        named("missing", entries[1]),
        named("missing", entries[2]),
        named("inserted", inserted),
    ]


def test_success_commands() -> None:
    now = timezone.now()
    generate_key(operator=HOST_OPERATOR, now=now)
    remove_audit_triggers()
    entry = make_entry(now.date() - 3 * DAY)
    planned = json.loads(run_command("seal_audit", "--json", "--dry-run"))
    assert (planned["entries"], planned["changed"], planned["dry_run"]) == (1, True, True)
    assert not AuditSeal.objects.exists()
    document = json.loads(run_command("seal_audit", "--json"))
    assert (document["days"], document["entries"]) == (planned["days"], 1)
    assert run_command("seal_audit") == "No day is due to be sealed.\n"
    document = json.loads(run_command("verify_audit", "--json"))
    assert (document["intact"], document["problems"]) == (True, [])
    delete(entry)
    with pytest.raises(AuditChanged) as caught:
        run_command("verify_audit", "--json")
    assert (caught.value.code, caught.value.exit_code) == ("SW_AUDIT_CHANGED", 1)
    assert caught.value.message == (
        "The audit log is not as it was sealed: 1 problem found. "
        f"Entry {entry.pk} of {now.date() - 3 * DAY} is missing."
    )


def test_success_command_with_a_seal_that_was_noted() -> None:
    generate_key(operator=HOST_OPERATOR, now=timezone.now())
    make_entry(timezone.now().date() - 3 * DAY)
    run_command("seal_audit")
    noted = json.loads(run_command("verify_audit", "--json"))["newest_seal"]
    assert noted in run_command("verify_audit", "--seal", noted)
    number, digest = noted.split(":")
    other = f"{number}:{digest[::-1]}"
    with pytest.raises(AuditChanged, match=f"Seal {other} is not in the log"):
        run_command("verify_audit", "--seal", noted, "--seal", other)
    for text in ("", "3", digest, f"{number}:{digest[1:]}", f"0:{digest}", f"+1:{digest}"):
        with pytest.raises(UsageError, match="is not a seal"):
            run_command("verify_audit", "--seal", text)


def test_fail_new_entries_are_kept_from_being_sealed(sealed: list[AuditEntry]) -> None:
    """Someone lets all new entries have IDs of a day that is not sealed for years."""
    seal_audit(operator=HOST_OPERATOR, now=TODAY + DAY)
    AuditChain.objects.update(open_from=get_start_id(date(2199, 1, 1)))
    make_entry(date(2199, 1, 1))
    problems = [problem.message for problem in verify(TODAY + DAY).problems.listed]
    assert problems == [
        "1 entry has an ID of days after 2021-11-26, and can be changed until then.",
        "New entries get IDs of days after 2021-11-26, and are not sealed until then.",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"sealed_through": date(2021, 11, 20)},
        {"sealed_through": date(2099, 1, 1)},
        {"seals": 2},
    ],
)
def test_success_sealing_goes_on_after_the_state_was_changed(changes: dict[str, Any]) -> None:
    make_sealed_log()
    AuditChain.objects.update(**changes)
    assert seal_audit(operator=HOST_OPERATOR, now=TODAY + DAY).figures["days"] == 1
    assert find(TODAY + DAY) == []


@pytest.mark.parametrize("changes", [{"seals": 99}, {"last_seal_sha256": "0" * 64}])
def test_fail_state_was_changed_for_ever(changes: dict[str, Any], sealed: list[AuditEntry]) -> None:
    AuditChain.objects.update(**changes)
    assert find() != []
    seal_audit(operator=HOST_OPERATOR, now=TODAY + DAY)
    assert find(TODAY + DAY) != []


def test_success_days_are_deleted_while_they_are_compared(resealed: datetime) -> None:
    calls: list[str] = []

    @contextmanager
    def prune_once(label: str, kind: ColumnType = ColumnType.COUNT) -> Iterator[ProgressCallback]:
        if not calls:
            prune_audit(resealed, 35)
        calls.append(label)
        yield lambda done, total: None

    result = verify_audit(operator=HOST_OPERATOR, now=resealed, progress_factory=prune_once)
    # The entry about the pruning is of the real time.
    assert {problem.kind for problem in result.problems.listed} == {Kind.FUTURE}
    assert len(calls) == 2


def test_fail_two_entries_with_one_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the primary key, and at the end of a batch."""
    monkeypatch.setattr("tenants.audit.queries.records.BATCH_SIZE", 1)
    entry = make_sealed_log()[0]
    columns = ", ".join(FIELDS)
    if is_postgresql():
        execute("ALTER TABLE sw_audit_entries DROP CONSTRAINT sw_audit_entries_pkey")
    else:
        execute("ALTER TABLE sw_audit_entries RENAME TO old_entries")
        execute("CREATE TABLE sw_audit_entries AS SELECT * FROM old_entries")
    execute(
        f"INSERT INTO sw_audit_entries ({columns}) SELECT {columns} "
        "FROM sw_audit_entries WHERE id = %s",
        [uuid_param(entry.pk)],
    )
    assert find() == [("inserted", str(FIRST_DAY), None)]


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
DETAILS = st.dictionaries(TEXTS, TEXTS | NUMBERS | st.booleans() | st.none(), max_size=4)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=count_examples(30)
)
@given(data=st.data())
def test_property_any_change_of_an_entry_is_found(data: st.DataObject) -> None:
    with transaction.atomic():
        details = data.draw(DETAILS)
        entries = make_sealed_log(operator=data.draw(TEXTS), details=details)
        assert find() == []  # The same on both databases, whatever the values are.
        # As the database returns it: PostgreSQL makes whole numbers of large floats.
        entry = AuditEntry.objects.get(pk=data.draw(st.sampled_from(entries)).pk)
        column = data.draw(st.sampled_from(sorted(set(FIELDS) - {"id", "at"})))
        value: Any = data.draw(DETAILS if column == "details" else TEXTS)
        field = AuditEntry._meta.get_field(column)
        maximum = getattr(field, "max_length", None)
        AuditEntry.objects.filter(pk=entry.pk).update(
            **{column: value[:maximum] if isinstance(value, str) else value}
        )
        stored = AuditEntry.objects.get(pk=entry.pk)
        is_changed = getattr(stored, column) != getattr(entry, column)
        day = entry.at.date()
        assert find() == ([named("changed", entry, day)] if is_changed else [])
        transaction.set_rollback(True)
