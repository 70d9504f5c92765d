"""Propose who the people of a converted export are here, by their e-mail addresses."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
from django.db.models.functions import Lower

from rooms.conversion.convert_rooms import REPORT
from rooms.conversion.people import COLUMNS
from scaiwave.console.output import format_csv_lines
from scaiwave.console.text import pluralize
from scaiwave.core.errors import FileExists, UsageError
from scaiwave.core.files import open_regular, replace_file
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.report import Report
from scaiwave.core.sql import batched
from tenants.lookup.resolve import resolve_tenant
from tenants.lookup.serializers import get_server_name
from tenants.models import Participant, ParticipantType, Tenant, active_q

MAP = "map.csv"
_BATCH_SIZE = 500


class _Person(msgspec.Struct):
    id: str
    name: str
    email: str


class _Report(msgspec.Struct):
    people: list[_Person]


def match_people(
    *, operator: Operator, tenant: str, directory: Path, force: bool = False, dry_run: bool = False
) -> Report:
    """Write `map.csv` next to the `conversion.json` of a conversion.

    Only active people are proposed, and only if no one else in the tenant has the address.

    Raises `TenantNotFound`, `UsageError`, `FileExists`, `DiskFull` or `FileUnwritable`.
    """
    operator.require(Permission.VIEW)
    resolved = resolve_tenant(operator, tenant)
    people = _read_people(directory / REPORT)
    target = directory / MAP
    if target.exists() and not force:
        raise FileExists(f"{target} already exists. It is unchanged.")
    found = _find_participants(resolved, {person.email.lower() for person in people} - {""})
    server_name = get_server_name()
    rows, matched, ambiguous = [], 0, 0
    for person in people:
        candidates = found.get(person.email.lower(), [])
        row: dict[str, Any] = {"source_id": person.id, "name": person.name, "email": person.email,
               "participant_id": None, "participant": None, "proposal": None}  # fmt: skip
        if len(candidates) == 1:
            matched += 1
            row |= {
                "participant_id": candidates[0].pk,
                "participant": candidates[0].fqid(server_name),
                "proposal": "same e-mail address",
            }
        elif candidates:
            ambiguous += 1
            row["proposal"] = f"{len(candidates):,} people have this e-mail address"
        rows.append(row)
    if not dry_run:
        replace_file(target, "".join(format_csv_lines(COLUMNS, rows)).encode())
    figures = {
        "file": str(target),
        "people": len(people),
        "matched": matched,
        "ambiguous": ambiguous,
        "unmatched": len(people) - matched - ambiguous,
    }
    text = f"Matched {matched:,} of {pluralize(len(people), 'person', 'people')}. "
    review = f"Review {target}, then pass it to `scaiwave room convert --people`."
    return Report(figures, text + ("No changes were made." if dry_run else review), changed=True)


def _read_people(path: Path) -> list[_Person]:
    try:
        with open_regular(path) as file:
            return msgspec.json.decode(file.read(), type=_Report).people
    except (OSError, msgspec.MsgspecError):
        raise UsageError(
            f"{path} is not the report of a conversion.",
            fix="Pass the output directory of `scaiwave room convert`.",
        ) from None


def _find_participants(tenant: Tenant, emails: set[str]) -> dict[str, list[Participant]]:
    """Return the active people of the tenant by their address in lower case."""
    found: dict[str, list[Participant]] = defaultdict(list)
    people = Participant.objects.filter(
        active_q(), tenant=tenant, participant_type=ParticipantType.HUMAN
    ).annotate(folded=Lower("email"))
    for batch in batched(sorted(emails), _BATCH_SIZE):
        for participant in people.filter(folded__in=batch):
            found[participant.email.lower()].append(participant)
    return found
