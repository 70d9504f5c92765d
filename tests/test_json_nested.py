"""The nested parts of JSON documents, all of them filled, compared with the reference page.

The test of the contract runs each command on sample data, in which some lists are empty and some
objects are null. Here, everything that the page documents must be there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings
from redis import Redis

from identity_sync.models import SyncRun, WebhookEvent
from identity_sync.sync.lock import sync_lock
from rooms.imports.verify_bundle import verify_bundle
from rooms.models import RoomImport, RoomMedia, RoomMember
from rooms.search.backfill import backfill_search
from rooms.search.queries import BackfillOptions, get_search_plan
from rooms.search.runs import get_or_create_run
from rooms.seeding.seed_rooms import SeedOptions, seed_rooms
from scaiwave import extensions
from scaiwave.cli.verbs import VerbPath
from scaiwave.console.output import to_json
from scaiwave.core.operators import get_host_operator
from scaiwave.operations.jobs.scheduler import Scheduler
from scaiwave.publishing.pages import InvalidPage
from scaiwave.publishing.publish import Action, PageAction, PublishReport
from scaiwave.queue.jobs import JOBS
from scaiwave.sandbox import Sandbox
from tenants.audit.record import record_audit
from tenants.models import Group, GroupMembership
from tenants.usage.check_scaigrid import SmokeTest, SmokeTestStep, StepOutcome
from tests.authorisation_fixtures import SampleData
from tests.extensions import Provided
from tests.scaiwave import row_factories
from tests.scaiwave.row_factories import NOW, TIMESTAMPS
from tests.test_authorisation import run, scaikey
from tests.test_json_output import PAGE, assert_names, insert_objects, read_page, sample

__all__ = ["sample", "scaikey"]

BLOCK = re.compile(r"```json\n(.*?)```", re.DOTALL)

SHOWN: dict[VerbPath, Callable[[SampleData], list[str]]] = {
    ("admin", "show-participant"): lambda sample: [str(sample.anna.pk)],
    ("admin", "show-group"): lambda sample: [str(sample.group.pk)],
    ("admin", "show-tenant"): lambda sample: [sample.tenant.slug],
    ("admin", "show-partner"): lambda sample: [sample.partner.slug],
    ("admin", "federation", "peer", "show"): lambda sample: [sample.peer.server_name],
    ("role", "show"): lambda sample: ["crew-lead", "--tenant", sample.tenant.slug],
    ("room", "show"): lambda sample: [str(sample.room.pk), "--tenant", sample.tenant.slug],
    ("room", "workspaces"): lambda sample: ["--tenant", sample.tenant.slug],
    ("sync", "status"): lambda sample: ["--no-drift", "--exit-zero"],
}


def read_document(
    words: VerbPath, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    _, out = run(words, [*arguments, "--json"], monkeypatch)
    document: dict[str, Any] = json.loads(out)
    return document


def find_differences(document: Any, documented: Any, path: str = "") -> Iterator[str]:
    """Yield the documented parts that a document lacks, and those that the page lacks."""
    if isinstance(documented, dict) and documented:
        if not isinstance(document, dict) or set(document) != set(documented):
            yield f"{path}: {document!r} is not {documented!r}"
            return
        for key, value in documented.items():
            yield from find_differences(document[key], value, f"{path}.{key}")
    elif isinstance(documented, list) and documented:
        if not document:
            yield f"{path}: {document!r} is not {documented!r}"
            return
        # One row that has everything is enough.
        rows = (list(find_differences(row, documented[0], f"{path}[]")) for row in document)
        yield from min(rows, key=len)
    elif documented is None and isinstance(document, list | dict) and document:
        yield f"{path}: the page has null for {document!r}"


def fill(sample: SampleData, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the objects of the sample data everything that a command shows of them."""
    _fill_groups(sample)
    _fill_room(sample)
    _fill_runs()
    row_factories.make_participant(sample.other_tenant, "anna2", email=sample.anna.email)
    sample.tenant.suspended_by_hand_at = NOW
    sample.tenant.save()
    subjects = (sample.tenant, sample.anna, sample.group, sample.room, sample.partner)
    for subject in (*subjects, sample.peer):
        record_audit(
            operator=get_host_operator(),
            action="change",
            subject=subject,
            tenant=sample.tenant,
            now=NOW,
        )
    facts = [Provided(lambda key: [("Last sync", "today")])]
    monkeypatch.setattr(extensions, "PARTICIPANT_FACTS", facts)


def _fill_groups(sample: SampleData) -> None:
    everyone = Group.objects.create(tenant=sample.tenant, name="Everyone", **TIMESTAMPS)
    night = Group.objects.create(tenant=sample.tenant, name="Night crew", **TIMESTAMPS)
    for group, member in (
        (everyone, {"member_group": sample.group}),
        (sample.group, {"member_group": night}),
        (night, {"member_participant": sample.anna}),
    ):
        GroupMembership.objects.create(tenant=sample.tenant, group=group, **member, **TIMESTAMPS)


def _fill_room(sample: SampleData) -> None:
    room, tenant = sample.room, sample.tenant
    RoomMember.objects.create(
        tenant=tenant, room=room, participant=sample.anna, power_level=100, joined_at=NOW
    )
    RoomMedia.objects.create(
        tenant=tenant,
        room=room,
        media=row_factories.make_media(tenant),
        name="plan.pdf",
        created_at=NOW,
    )
    RoomImport.objects.create(
        tenant=tenant,
        room=room,
        manifest_sha256="0" * 64,
        source_room_id="r1",
        operator="root",
        created_at=NOW,
    )


def _fill_runs() -> None:
    failure = {"error_code": "SW_UPSTREAM_UNREACHABLE", "error_message": "ScaiKey is unreachable."}
    started = {"operator": "root", "started_at": NOW}
    SyncRun.objects.create(outcome="running", **started)
    SyncRun.objects.create(outcome="failed", ended_at=NOW, **failure, **started)
    WebhookEvent.objects.create(
        event_id="evt_1",
        event_type="user.updated",
        state="failed",
        received_at=NOW,
        ended_at=NOW,
        **failure,
    )


def _leave_heartbeat(redis_url: str) -> None:
    """Let a scheduler be detected."""
    with Redis.from_url(redis_url) as redis:
        redis.flushdb()
        Scheduler(redis, [JOBS["identity_sync.jobs.full_sync"]]).step()


@pytest.mark.django_db
@pytest.mark.parametrize("words", SHOWN, ids=" ".join)
def test_success_nested_parts(
    words: VerbPath,
    sample: SampleData,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    settings: Settings,
) -> None:
    fill(sample, monkeypatch)
    if words == ("sync", "status"):
        settings.REDIS_URL = request.getfixturevalue("redis_url")
        _leave_heartbeat(settings.REDIS_URL)
    with sync_lock():  # Else the run in progress would count as killed.
        document = read_document(words, SHOWN[words](sample), monkeypatch)
    documented = read_page()[words]
    assert list(find_differences(document, documented)) == []
    assert_names(document)


@pytest.mark.django_db
def test_success_changes_of_the_next_sync(
    scaikey: Sandbox, sample: SampleData, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("admin", "link-tenant")
    scaikey_tenant_id = scaikey.directory.add_tenant(name="Laboratory", slug="laboratory")
    arguments = [sample.local_tenant.slug, "--scaikey-tenant-id", scaikey_tenant_id]
    document = read_document(words, arguments, monkeypatch)
    assert list(find_differences(document, read_page()[words])) == []


@pytest.mark.django_db(transaction=True)
def test_success_window_of_an_export(sample: SampleData, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("room", "export")
    sample.create_keys(1)
    arguments = [str(sample.room.pk), "--tenant", sample.tenant.slug]
    arguments += ["--since", "2026-01-01T00:00:00Z", "--output", f"{sample.directory}/out.zip"]
    document = read_document(words, arguments, monkeypatch)
    assert list(find_differences(document, read_page()[words])) == []


@pytest.mark.django_db(transaction=True)
def test_success_problems_of_a_bundle(sample: SampleData) -> None:
    words = ("room", "verify")
    sample.create_keys(1)
    content = bytearray(Path(sample.write_bundle()).read_bytes())
    content[200] ^= 1  # in the compressed manifest
    with BytesIO(content) as file:
        verified = verify_bundle(operator=get_host_operator(), file=file, max_bytes=10**6)
    document = json.loads(to_json(verified.document()))
    assert document["problems"]
    for problem in document["problems"]:
        assert set(problem) == set(read_page()[words]["problems"][0])


def read_script_documents() -> dict[str, list[Any]]:
    """Return the documents of the reference page that scripts print, by script.

    A section may refer to the document of a command instead.
    """
    text = PAGE.read_text()
    (objects,) = map(json.loads, BLOCK.findall(text.partition("## Objects")[2])[:1])
    _, _, part = text.partition("## Scripts and sample data")
    return {
        section.partition("\n")[0]: [
            insert_objects(json.loads(block), objects) for block in BLOCK.findall(section)
        ]
        for section in part.split("\n### ")[1:]
    }


@pytest.mark.django_db(transaction=True)
def test_success_sample_rooms_and_their_backfill(sample: SampleData) -> None:
    documents = read_script_documents()
    seeded = seed_rooms(
        operator=get_host_operator(),
        tenant=sample.tenant.slug,
        workspace="seeded",
        options=SeedOptions(events=5),
        now=NOW,
    )
    (documented,) = documents["seed_rooms"]
    assert list(find_differences(seeded.document(), documented)) == []
    plan, queued = documents["scripts/backfill_search_index.py"]
    finished = read_page()["room", "search-index"]
    for document in (plan, queued, finished):
        del document["dry_run"]
    options = BackfillOptions()
    get_or_create_run(get_host_operator(), options, NOW)
    shown = get_search_plan(operator=get_host_operator(), options=options).document()
    assert list(find_differences(shown, plan)) == []
    assert set(queued) == {"run_id", "resumed", "ranges", "jobs"}
    result = backfill_search(operator=get_host_operator(), options=options, clock=lambda: NOW)
    assert list(find_differences(result.document(), finished)) == []


def test_success_other_scripts() -> None:
    documents = read_script_documents()
    step = SmokeTestStep("configured", StepOutcome.PASS, "…")
    documented = read_page()["scaigrid", "check"]
    assert list(find_differences(SmokeTest([step]).document(), documented)) == []
    problem = InvalidPage("…")
    page = PageAction(action=Action.FAILED, path="a", changes=("body",), problems=(problem,))
    (documented,) = documents["scripts/publish_docs.py"]
    report = PublishReport(steps=(page,), executed=False).document()
    assert list(find_differences(report, documented)) == []
    assert set(report["counts"]) == set(Action)
