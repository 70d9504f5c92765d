"""Keep the last report of `scaiwave doctor`, for the admin site."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from scaiwave.core.operators import Operator, Permission
from scaiwave.extensions import PurgedPerson
from tenants.models import DoctorRun, StoredOverview

_SENTENCES = ("message", "fix")


def store_health_report(operator: Operator, document: Mapping[str, object], now: datetime) -> None:
    """Replace the stored report; `document` is what `doctor --json` prints."""
    operator.require(Permission.MANAGE_PLATFORM)
    DoctorRun.objects.update_or_create(
        number=1,
        defaults={
            "ran_at": now,
            "operator": operator.name,
            "is_healthy": document["healthy"] is True,
            "findings": document["checks"],
        },
    )


def erase_from_health_report(people: Sequence[PurgedPerson], replacement: str) -> None:
    """Replace people's names in the findings of the stored report, and its operator if it is one.

    The stored overview, which repeats findings, is deleted: the next request builds it.
    """
    StoredOverview.objects.all().delete()
    names = {text for person in people for text in person.texts}
    operator_names = {name for person in people for name in person.operator_names}
    run = DoctorRun.objects.first()
    if run is None:
        return
    # Whole words only: a short name may be a part of other words.
    parts = [re.escape(name) for name in sorted(names, key=len, reverse=True) if name]
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(parts)})(?!\w)", re.IGNORECASE) if parts else None
    if pattern is not None:
        # The other values are words of the report, such as "fail", which someone may be named.
        run.findings = [
            {
                key: pattern.sub(replacement, text) if key in _SENTENCES and text else text
                for key, text in finding.items()
            }
            for finding in run.findings
        ]
    if {run.operator, run.operator.lower()} & operator_names:
        run.operator = replacement
    run.save(update_fields=["findings", "operator"])
