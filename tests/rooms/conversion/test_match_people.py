"""`scaiwave room match-people`: proposals by e-mail address."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from rooms.conversion.match_people import match_people
from rooms.conversion.people import read_people_map
from scaiwave.core.errors import FileExists, UsageError
from scaiwave.core.operators import get_host_operator
from scaiwave.core.report import Report
from tenants.models import ParticipantType, Tenant
from tests.scaiwave.row_factories import NOW, make_participant, make_tenant

pytestmark = pytest.mark.django_db


def write_report(directory: Path, *people: tuple[str, str]) -> None:
    rows = [{"id": key, "name": f"={key}", "email": email} for key, email in people]
    (directory / "conversion.json").write_text(json.dumps({"people": rows, "rooms": []}))


def match(tenant: Tenant, directory: Path, *, force: bool = False, dry: bool = False) -> Report:
    return match_people(
        operator=get_host_operator(), tenant=tenant.slug, directory=directory, force=force,
        dry_run=dry,
    )  # fmt: skip


def test_success(tmp_path: Path) -> None:
    tenant, other = make_tenant("acme"), make_tenant("other")
    anna = make_participant(tenant, email="Anna@Example.com")
    for name in ("one", "two"):
        make_participant(tenant, name, email="twin@example.com")
    make_participant(tenant, "gone", absent_since=NOW)
    make_participant(tenant, "bot", participant_type=ParticipantType.AGENT)
    make_participant(other, "far")
    names = ("anna", "twin", "gone", "bot", "far", "new")
    write_report(tmp_path, *((name, f"{name}@EXAMPLE.com") for name in names), ("none", ""))
    result = match(tenant, tmp_path)
    assert result.document() == {
        "file": str(tmp_path / "map.csv"), "people": 7, "matched": 1, "ambiguous": 1,
        "unmatched": 5, "changed": True,
    }  # fmt: skip
    with (tmp_path / "map.csv").open() as file:
        rows = {row["source_id"]: row for row in csv.DictReader(file)}
    assert rows["anna"]["participant_id"] == str(anna.pk)
    assert rows["anna"]["participant"] == "'@anna.acme:localhost"
    assert {key for key, row in rows.items() if row["participant_id"]} == {"anna"}
    assert rows["twin"]["proposal"] == "2 people have this e-mail address"
    known = read_people_map(tmp_path / "map.csv")
    assert known["anna"] == ("=anna", str(anna.pk))
    assert known["none"] == ("=none", "")


def test_success_dry_run(tmp_path: Path) -> None:
    tenant = make_tenant("acme")
    write_report(tmp_path, ("anna", "anna@example.com"))
    result = match(tenant, tmp_path, dry=True)
    assert result.sentence == "Matched 0 of 1 person. No changes were made."
    assert not (tmp_path / "map.csv").exists()


def test_fail_reviewed_table(tmp_path: Path) -> None:
    tenant = make_tenant("acme")
    write_report(tmp_path, ("anna", "anna@example.com"))
    (tmp_path / "map.csv").write_text("reviewed")
    with pytest.raises(FileExists):
        match(tenant, tmp_path)
    assert (tmp_path / "map.csv").read_text() == "reviewed"
    match(tenant, tmp_path, force=True)
    assert (tmp_path / "map.csv").read_text() != "reviewed"


@pytest.mark.parametrize("content", [None, "", "[]", '{"people": [{"id": 1}]}'])
def test_fail_not_a_conversion(tmp_path: Path, content: str | None) -> None:
    tenant = make_tenant("acme")
    if content is not None:
        (tmp_path / "conversion.json").write_text(content)
    with pytest.raises(UsageError, match="is not the report of a conversion"):
        match(tenant, tmp_path)
