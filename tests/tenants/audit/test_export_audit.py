"""`admin audit export`, and verifying its file without the database."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from pytest_django import Settings

from federation.keys import ed25519
from federation.models import ServerKey
from scaiwave.core.sql import execute
from tenants.audit.export_audit import export_audit, iter_tenant_audit
from tenants.audit.queries.checks import KeptSeal
from tenants.audit.queries.problems import VerifyAuditResult
from tenants.audit.queries.verify_audit_export import verify_audit_export
from tenants.audit.seal_audit import seal_audit
from tenants.errors import AuditChanged, AuditNotSealed, InvalidAuditExport
from tenants.models import AuditChain, AuditEntry, AuditSeal, AuditSealPart
from tests.tenants.audit.seals import (
    DAY,
    DAYS,
    EMPTY_DAY,
    FIRST_DAY,
    TODAY,
    change,
    delete,
    make_entry,
    make_sealed_log,
)
from tests.tenants.factories import (
    HOST_OPERATOR,
    run_command,
)

pytestmark = [pytest.mark.django_db, pytest.mark.dated]

Lines = list[dict[str, Any]]


def export(**period: Any) -> Lines:
    values = {"since": None, "until": None, **period}
    lines = export_audit(operator=HOST_OPERATOR, now=TODAY, **values)
    return [json.loads(json.dumps(line)) for line in lines]


def get_key() -> str:
    return ed25519.format_stored_key(ServerKey.objects.latest("signs_from"))


def verify(lines: Lines, *keys: str) -> VerifyAuditResult:
    """Verify with this key alone, or with none and this server's keys and seals."""
    text = "".join(json.dumps(line, indent=None) + "\n" for line in lines)
    return verify_audit_export(
        operator=None if keys else HOST_OPERATOR,
        file=io.BytesIO(text.encode()),
        now=TODAY,
        keys=list(keys),
    )


def find(lines: Lines, *keys: str) -> list[tuple[str, str | None]]:
    problems = verify(lines, *keys).problems.listed
    return [(each.kind.value, each.entry_id or each.day) for each in problems]


def forget_everything() -> None:
    """As on another computer."""
    execute("DELETE FROM sw_audit_entries")
    for model in (AuditSeal, AuditSealPart, AuditChain, ServerKey):
        model.objects.all().delete()


def test_success_verified_without_the_database(sealed: list[AuditEntry]) -> None:
    lines, key = export(), get_key()
    assert [next(iter(line)) for line in lines] == [
        "export",
        *["seal", "hashes", *["entry"] * 3] * 2,
        "seal",
        *["seal", "hashes", *["entry"] * 3],
        "end",
    ]
    forget_everything()
    result = verify(lines, key)
    assert result.error is None
    assert (result.seals, result.entries) == (DAYS, len(sealed))
    assert (result.first_day, result.last_day) == ("2021-11-20", "2021-11-23")


def test_success_period_of_whole_days(sealed: list[AuditEntry]) -> None:
    noon = TODAY.replace(day=21)
    lines = export(since=noon, until=noon + DAY)
    days = [json.loads(line["seal"]["statement"])["day"] for line in lines if "seal" in line]
    assert days == ["2021-11-21", "2021-11-22"]
    assert export(since=noon, until=TODAY.replace(day=22, hour=0))[1:2] == lines[1:2]
    assert find(lines) == []
    assert find(lines, get_key()) == []


def test_success_export_is_audited(sealed: list[AuditEntry]) -> None:
    export(until=TODAY.replace(day=21))
    entry = AuditEntry.objects.get(action="audit export")
    assert entry.details == {"seals": [1, 2], "days": ["2021-11-20", "2021-11-21"]}


def test_success_pruned_days(pruned: datetime) -> None:
    lines = export()
    text = "".join(json.dumps(line) + "\n" for line in lines)
    arguments: dict[str, Any] = {"operator": None, "now": pruned, "keys": [get_key()]}
    result = verify_audit_export(file=io.BytesIO(text.encode()), **arguments)
    assert result.error is None
    assert result.pruned_through == "2021-11-22"
    # Without the record of the pruning its entries are missing.
    text = "".join(json.dumps(line) + "\n" for line in lines if "pruning" not in line)
    result = verify_audit_export(file=io.BytesIO(text.encode()), **arguments)
    assert result.error is not None


def iter_changes(lines: Lines) -> Iterator[tuple[str, Lines]]:
    """Every line left out, and every entry changed in each of its fields."""
    for number, line in enumerate(lines[1:], 1):
        yield f"without {number}", [*lines[:number], *lines[number + 1 :]]
        for name in line.get("entry", {}):
            changed = {"entry": {**line["entry"], name: "changed"}}
            yield f"{name} of {number}", [*lines[:number], changed, *lines[number + 1 :]]


def test_fail_every_change_of_a_file(sealed: list[AuditEntry]) -> None:
    lines, key = export(), get_key()
    forget_everything()
    missed = [what for what, changed in iter_changes(lines) if not find(changed, key)]
    assert missed == []


def test_fail_changed_entry_is_named(sealed: list[AuditEntry]) -> None:
    lines = export()
    lines[3]["entry"]["operator"] = "root"
    assert find(lines) == [("changed", str(sealed[0].pk))]
    del lines[3]
    assert ("missing", str(sealed[0].pk)) in find(lines)


def test_fail_changed_before_the_export(sealed: list[AuditEntry]) -> None:
    change(sealed[4], "action", "'x'")
    delete(sealed[0])
    inserted = make_entry(EMPTY_DAY)
    assert find(export()) == [
        ("missing", str(sealed[0].pk)),
        ("changed", str(sealed[4].pk)),
        ("inserted", str(inserted.pk)),
    ]


def test_fail_signed_by_another_key_or_server(sealed: list[AuditEntry]) -> None:
    lines = export()
    other = ed25519.format_public_key(ed25519.derive_public_key(ed25519.generate_seed()))
    assert find(lines, other) == [("key_not_trusted", "2021-11-23")]
    forget_everything()  # as on another server
    assert find(lines) == [("key_not_trusted", "2021-11-23")]


def test_fail_older_backup_restored(sealed: list[AuditEntry]) -> None:
    """The file has what the database lost, and what was sealed again in its place."""
    lines = export()
    AuditSeal.objects.filter(number=DAYS).delete()
    AuditSealPart.objects.filter(day=TODAY.date() - DAY).delete()
    AuditChain.objects.all().delete()
    delete(AuditEntry.objects.filter(action="update-tenant").latest("pk"))
    seal_audit(operator=HOST_OPERATOR, now=TODAY + DAY)
    assert find(lines) == [("differs_from_server", "2021-11-23")]


def verify_text(text: str, *kept: KeptSeal) -> VerifyAuditResult:
    file = io.BytesIO(text.encode())
    return verify_audit_export(operator=None, file=file, now=TODAY, keys=[get_key()], kept=kept)


def find_in_text(text: str) -> list[str]:
    return [each.kind.value for each in verify_text(text).problems.listed]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('{"entry": {', '{"entry": {"operator": "root", '),
        ('{"entry": {', '{"entry": {"operator": "root"}, "entry": {'),
        ('{"entry": ', '{"note": "root", "entry": '),
        ("6.5", "6.50000000000000001"),
        ('"forced": true', '"forced": false, "forced": true'),
        ('"forced": true', '"forced": ' + "[" * 5000 + "]" * 5000),
    ],
    ids=["field-twice", "entry-twice", "two-keys", "float", "details-twice", "deep"],
)
def test_fail_lines_that_programs_read_differently(old: str, new: str) -> None:
    make_sealed_log()
    text = "".join(json.dumps(line) + "\n" for line in export())
    assert find_in_text(text) == []
    assert "file_damaged" in find_in_text(text.replace(old, new, 1))


def test_fail_end_of_a_file_cut_off(sealed: list[AuditEntry]) -> None:
    """The first and the last line are not signed: who cuts the file can change them too."""
    seals = [json.loads(line["seal"]["statement"]) for line in export() if "seal" in line]
    newest = KeptSeal.parse(str(verify(export(), get_key()).newest_seal))
    cut = export(until=TODAY - 2 * DAY)
    cut[0]["export"]["last_day"] = seals[-1]["day"]
    assert find(cut, get_key()) == [("file_damaged", None)]
    cut[0]["export"]["last_day"] = "2021-11-22"
    assert find(cut, get_key()) == []
    text = "".join(json.dumps(line) + "\n" for line in cut)
    (problem,) = verify_text(text, newest).problems.listed
    assert problem.message.startswith(f"Seal {newest} is not in the file")
    complete = "".join(json.dumps(line) + "\n" for line in export())
    assert verify_text(complete, newest).error is None


def test_fail_days_exchanged_in_a_file(sealed: list[AuditEntry]) -> None:
    lines = export()
    exchanged = [lines[0], *lines[6:11], *lines[1:6], *lines[11:]]
    messages = [problem.message for problem in verify(exchanged, get_key()).problems.listed]
    assert (
        "Seal 1 of 2021-11-20 does not follow the seal before it: one of them was replaced."
        in messages
    )


def test_success_lines_of_another_system(sealed: list[AuditEntry]) -> None:
    text = "".join(json.dumps(line) + "\r\n" for line in export())
    assert find_in_text("\ufeff" + text) == []


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [{"seal": {}}],
        [{"export": {"format": "x"}}],
        [{"export": {"format": "scaiwave-audit-export", "version": 2, "keys": []}}],
        [{"export": {"format": "scaiwave-audit-export", "version": 1, "keys": 1}}],
        [{"export": {"format": "scaiwave-audit-export", "version": 1, "keys": ["x"]}}],
    ],
)
def test_fail_not_an_export(lines: Lines) -> None:
    with pytest.raises(InvalidAuditExport):
        verify(lines)


STRANGE_LINES: tuple[Any, ...] = (
    {"entry": 1},
    {"entry": {"id": 1}},
    {"entry": {"id": "\ud800", "at": 1e400}},
    {"hashes": "AAAA"},
    {"hashes": 1},
    {"seal": {"statement": "\ud800", "signature": "\ud800"}},
    {"seal": {"statement": "[]", "signature": ""}},
    {"seal": []},
    {"pruning": {"statement": "{}", "signature": ""}},
    {"end": {}},
    {"end": 1},
    {},
    [],
)


def test_fail_strange_lines_and_numbers(sealed: list[AuditEntry]) -> None:
    lines = export()
    for line, position in product(STRANGE_LINES, (1, 3, 7)):
        assert find([*lines[:position], line, *lines[position:]]) != [], (line, position)
    statement = json.loads(lines[1]["seal"]["statement"])
    for number in (-1, 0, 2**70):
        lines[1]["seal"]["statement"] = json.dumps({**statement, "number": number})
        assert find(lines) != [], number


def test_fail_nothing_is_sealed() -> None:
    with pytest.raises(AuditNotSealed):
        export()


def test_success_commands(tmp_path: Path, sealed: list[AuditEntry]) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text(run_command("export_audit", "--since", "2021-11-20", "--until", "2021-11-23"))
    assert run_command("verify_audit", str(path)).endswith("from 2021-11-20 to 2021-11-23.\n")
    document = json.loads(run_command("verify_audit", str(path), "--key", get_key(), "--json"))
    assert (document["intact"], document["entries"]) == (True, len(sealed))
    path.write_bytes(path.read_bytes().replace(b"anna@", b"eve@", 1))
    with pytest.raises(AuditChanged, match="1 problem found"):
        run_command("verify_audit", str(path))


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Pacific/Kiritimati"])
def test_success_dates_are_in_utc_as_days_are(zone: str, settings: Settings) -> None:
    settings.LOCAL_ZONE = ZoneInfo(zone)
    make_sealed_log()
    text = run_command("export_audit", "--since", "2021-11-21", "--until", "2021-11-22")
    header = json.loads(text.partition("\n")[0])["export"]
    assert (header["first_day"], header["last_day"]) == ("2021-11-21", "2021-11-22")
    text = run_command("export_audit", "--since", "2021-11-21T23:59", "--until", "2021-11-22T00:00")
    header = json.loads(text.partition("\n")[0])["export"]
    assert (header["first_day"], header["last_day"]) == ("2021-11-21", "2021-11-21")


def test_success_hashes_are_those_of_the_specification() -> None:
    """Computed as docs/reference/audit-seal-format.md says, without the code of the suite."""
    import hashlib

    entry = make_sealed_log()[0]
    lines = export()
    fields = {
        "action": "update-tenant",
        "at": "2021-11-20T08:30:15.120000Z",
        "details": {"changes": [{"field": "max_rooms", "new": 6.5, "old": 5}], "forced": True},
        "id": str(entry.pk),
        "operator": "anna@example.com",
        "operator_id": "usr_1",
        "operator_role": "super_admin",
        "origin": "203.0.113.7",
        "subject_id": "019aab53-0000-7000-8000-000000000000",
        "subject_name": "Zoë & Söhne",
        "subject_type": "tenant",
        "tenant_id": "019aab53-0000-7000-8000-000000000000",
        "tenant_slug": "acme",
    }
    assert lines[3]["entry"] == fields
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
    listed = base64.b64decode(lines[2]["hashes"])
    assert listed[:16] == entry.pk.bytes
    assert listed[16:48] == hashlib.sha256(canonical).digest()
    seal = json.loads(lines[1]["seal"]["statement"])
    assert seal["entries_sha256"] == hashlib.sha256(listed).hexdigest()
    following = json.loads(lines[6]["seal"]["statement"])
    digest = hashlib.sha256(lines[1]["seal"]["statement"].encode()).hexdigest()
    assert following["previous_sha256"] == digest
    assert FIRST_DAY.isoformat() == seal["day"]


def export_of_tenant(tenant_id: str) -> Lines:
    lines = iter_tenant_audit(UUID(tenant_id), TODAY)
    return [json.loads(json.dumps(line)) for line in lines]


def test_success_entries_of_one_tenant(sealed: list[AuditEntry]) -> None:
    """They are verified by the seals of all, of which only IDs and hashes are in the file."""
    mine, other = sealed[0].tenant_id, str(UUID(int=1))
    make_entry(TODAY.date(), tenant_id=mine)
    make_entry(TODAY.date(), tenant_id=other)
    assert export_of_tenant(other)[-1].keys() == {"unsealed"}
    lines = export_of_tenant(mine)
    verified = verify(lines)
    assert (verified.problems.count, verified.entries, verified.unsealed) == (0, len(sealed), 1)
    none = export_of_tenant(str(UUID(int=2)))
    assert (verify(none).problems.count, verify(none).entries) == (0, 0)
    assert not any("entry" in line for line in none)


@pytest.mark.parametrize("what", ["changed", "hash", "inserted"])
def test_fail_entries_of_one_tenant(what: str, sealed: list[AuditEntry]) -> None:
    lines = export_of_tenant(sealed[0].tenant_id)
    place = next(number for number, line in enumerate(lines) if "entry" in line)
    if what == "changed":
        lines[place]["entry"]["operator"] = "someone else"
    elif what == "hash":
        hashes = bytearray(base64.b64decode(lines[place - 1]["hashes"]))
        hashes[-1] ^= 1
        lines[place - 1]["hashes"] = base64.b64encode(hashes).decode()
    else:
        lines.insert(place, {"entry": {**lines[place]["entry"], "id": str(UUID(int=5))}})
        lines[-1]["end"]["entries"] += 1
    assert verify(lines).error is not None
