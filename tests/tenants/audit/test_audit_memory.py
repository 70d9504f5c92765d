"""Memory for sealing, verifying and exporting does not grow with the entries of a day."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from datetime import timedelta
from io import BytesIO
from uuid import UUID

import pytest

from scaiwave.console.output import to_json
from scaiwave.core.sql import execute
from tenants.audit.export_audit import export_audit
from tenants.audit.queries.format import get_start_id
from tenants.audit.queries.verify_audit_export import verify_audit_export
from tenants.audit.seal_audit import seal_audit
from tenants.models import AuditChain, AuditEntry, AuditSeal, AuditSealPart
from tests.tenants.audit.seals import DAY, FIRST_DAY, TODAY, make_entry, make_sealed_log, verify
from tests.tenants.factories import HOST_OPERATOR

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

FEW, MANY = 2_000, 6_000
MAX_RATIO = 1.25


def fill(count: int) -> None:
    """Replace the log by one day with so many entries."""
    execute("DELETE FROM sw_audit_entries")
    for model in (AuditChain, AuditSeal, AuditSealPart):
        model.objects.all().delete()
    entry = make_entry(FIRST_DAY)
    for start in range(1, count, 1000):
        copies = []
        for number in range(start, min(start + 1000, count)):
            entry.pk = UUID(int=get_start_id(FIRST_DAY).int + (7 << 76) + number)
            copies.append(AuditEntry(**{f.attname: getattr(entry, f.attname) for f in FIELDS}))
        AuditEntry.objects.bulk_create(copies)


FIELDS = AuditEntry._meta.concrete_fields


def measure(function: Callable[[], int]) -> tuple[int, int]:
    """Return what the function returns, and the peak of the memory that it took."""
    tracemalloc.start()
    try:
        return function(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def seal() -> int:
    end = TODAY - (TODAY.date() - FIRST_DAY - timedelta(days=1))
    return int(seal_audit(operator=HOST_OPERATOR, now=end).figures["entries"])


def export_lines() -> int:
    lines = export_audit(operator=HOST_OPERATOR, now=TODAY, since=None, until=TODAY - 3 * DAY)
    return sum("entry" in line for line in lines)


def test_success_memory_does_not_grow(sealed: list[AuditEntry]) -> None:
    peaks: dict[int, list[int]] = {}
    for count in (FEW, MANY):
        fill(count)
        measured = [measure(seal), measure(lambda: verify().entries), measure(export_lines)]
        lines = export_audit(operator=HOST_OPERATOR, now=TODAY, since=None, until=TODAY)
        file = BytesIO(b"".join(to_json(line, indent=None).encode() + b"\n" for line in lines))
        measured.append(
            measure(
                lambda file=file: (  # type: ignore[misc]
                    verify_audit_export(
                        operator=HOST_OPERATOR, file=file, now=TODAY, keys=[]
                    ).entries
                )
            )
        )
        assert [done for done, _ in measured] == [count] * 4
        peaks[count] = [peak for _, peak in measured]
    ratios = [many / few for few, many in zip(peaks[FEW], peaks[MANY], strict=True)]
    assert max(ratios) < MAX_RATIO, (ratios, peaks)


def test_success_memory_does_not_grow_with_hashes_of_missing_entries() -> None:
    """Someone has written them to a file, or has deleted the entries."""
    make_sealed_log()
    header, first, hashes, *_ = (
        to_json(line, indent=None).encode() + b"\n"
        for line in export_audit(operator=HOST_OPERATOR, now=TODAY, since=None, until=TODAY)
    )
    peaks: list[int] = []
    for count in (FEW, MANY):
        file = BytesIO(header + first + hashes * count)
        _, peak = measure(
            lambda file=file: (  # type: ignore[misc]
                verify_audit_export(
                    operator=HOST_OPERATOR, file=file, now=TODAY, keys=[]
                ).problems.count
            )
        )
        peaks.append(peak)
    assert peaks[1] / peaks[0] < MAX_RATIO, peaks
