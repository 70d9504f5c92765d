"""Transcripts of rooms and bundles in directories: who may, what is recorded, what is left."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
from collections import Counter
from datetime import UTC
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from federation.keys.encryption import encrypt_seed
from federation.models import ServerKey
from rooms.bundle.manifest.schema import TimeWindow
from rooms.errors import BundleDamaged, BundleNotVerified, ExportRefused, ReasonMissing
from rooms.models import Event, Room
from rooms.transcripts.document import TranscriptOptions
from rooms.transcripts.timeline import EventSelection
from rooms.transcripts.transcribe_room import (
    download_transcript,
    transcribe_bundle,
    transcribe_room,
)
from rooms.transcripts.wording import Clock
from scaiwave.core.errors import FileExists, InsufficientPermission, UsageError
from scaiwave.core.operators import Operator, OperatorRole
from scaiwave.core.report import Report
from tenants.models import AuditEntry
from tests.rooms.bundle.factories import MAX_BYTES, make_bundle, make_event, make_manifest
from tests.rooms.bundle.golden import GOLDEN, PUBLIC_KEY
from tests.rooms.exports.factories import make_room
from tests.rooms.exports.processes import EVENTS, Server, start_export
from tests.rooms.seeding.test_seed_rooms import seed_tenant
from tests.rooms.transcripts.factories import make_sample
from tests.scaiwave import row_factories
from tests.scaiwave.cli_helpers import CHECKOUT, run_scaiwave
from tests.tenants.factories import HOST_OPERATOR, NOW

pytestmark = pytest.mark.dated

JSON = dict[str, Any]
FORMATS = ("html", "text", "csv", "rsmf")
READER = Operator("reader", OperatorRole.PLATFORM_READ)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory for nothing but the transcript."""
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


def transcribe(room: Any, target: Path, kind: str = "html", **options: Any) -> Report:
    arguments: JSON = {
        "operator": HOST_OPERATOR,
        "tenant": room.tenant.slug,
        "room": str(room.pk),
        "options": TranscriptOptions(kind, Clock(UTC), **options.pop("chosen", {})),
        "target": target,
        "overwrite": False,
        "now": NOW,
        **options,
    }
    return transcribe_room(**arguments)


def transcribe_file(path: Path, target: Path, **options: Any) -> Report:
    arguments: JSON = {
        "path": path,
        "key": None,
        "descriptor": None,
        "options": TranscriptOptions("html", Clock(UTC)),
        "max_bytes": MAX_BYTES,
        "target": target,
        "overwrite": False,
        "now": NOW,
        **options,
    }
    return transcribe_bundle(**arguments)


def read_record(directory: Path) -> JSON:
    record: JSON = json.loads((directory / "transcript.json").read_bytes())
    names = {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}
    assert {file["name"] for file in record["files"]} == names - {"transcript.json"}
    for file in record["files"]:
        data = (directory / file["name"]).read_bytes()
        assert (sha256(data).hexdigest(), len(data)) == (file["sha256"], file["size"])
    return record


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", FORMATS)
def test_success_every_kind_of_event_of_a_room(kind: str, place: Path) -> None:
    seeded = seed_tenant()
    room = Room.objects.get(pk=seeded.figures["rooms"][0]["id"])
    transcribe(room, place / "out", kind)
    events = read_record(place / "out")["events"]
    types = Counter(Event.objects.filter(room=room).values_list("event_type", flat=True))
    assert {name: counts["read"] for name, counts in events["by_type"].items()} == types
    assert len(types) >= 10
    assert events["left_out"] == 0
    assert events["read"] == events["shown"] + events["shown_with_target"] == types.total()


@pytest.mark.django_db(transaction=True)
def test_success_audited_like_an_export(place: Path) -> None:
    room = make_room()
    row_factories.make_event(room, 1)
    window = TimeWindow("2026-01-01T00:00:00.000000Z", None)
    transcribe(
        room, place / "out", chosen={"selection": EventSelection(window), "with_media": False}
    )
    entry = AuditEntry.objects.get(action="export-room")
    assert entry.details == {
        "window": {"since": window.since, "until": None},
        "media": False,
        "transcript": "html",
    }
    assert (place / "out").stat().st_mode & 0o777 == 0o700
    assert [path.name for path in place.iterdir()] == ["out"]


@pytest.mark.django_db(transaction=True)
def test_success_signed_by_the_servers_key(place: Path) -> None:
    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    ServerKey.objects.create(
        key_id="kid",
        public_key=base64.b64encode(private.public_key().public_bytes_raw()).decode(),
        private_key_encrypted=encrypt_seed(bytes(range(32))),
        created_at=NOW,
        signs_from=NOW,
    )
    room = make_room()
    row_factories.make_event(room, 1)
    transcribe(room, place / "out", "text")
    record = read_record(place / "out")
    signature = base64.b64decode(record.pop("signature"), validate=True)
    private.public_key().verify(signature, rfc8785.dumps(record))
    assert (record["key_id"], record["algorithm"]) == ("kid", "ed25519")
    assert record["source"]["kind"] == "database"


@pytest.mark.django_db(transaction=True)
def test_fail_without_permission(place: Path) -> None:
    with pytest.raises(InsufficientPermission):
        transcribe(make_room(), place / "out", operator=READER)
    assert list(place.iterdir()) == []


@pytest.mark.django_db(transaction=True)
def test_fail_a_room_that_must_not_leave_its_server(place: Path) -> None:
    with pytest.raises(ExportRefused):
        transcribe(make_room(room_type="bridge"), place / "out")
    assert list(place.iterdir()) == []


@pytest.mark.django_db(transaction=True)
def test_fail_a_download_needs_a_reason_and_the_right_to_read() -> None:
    room = make_room()
    arguments: JSON = {
        "tenant": room.tenant.slug,
        "room": str(room.pk),
        "options": TranscriptOptions("html", Clock(UTC)),
        "now": NOW,
    }
    with pytest.raises(ReasonMissing):
        download_transcript(operator=HOST_OPERATOR, reason=" ", **arguments)
    partner = Operator("partner", OperatorRole.PARTNER_ADMIN)
    with pytest.raises(InsufficientPermission):
        download_transcript(operator=partner, reason="a case", **arguments)
    assert not AuditEntry.objects.filter(action="export-room").exists()


def test_success_of_a_bundle_without_a_database(place: Path) -> None:
    (place / "room.zip").write_bytes(make_sample())
    transcribe_file(place / "room.zip", place / "out")
    record = read_record(place / "out")
    assert (record["signature"], record["key_id"]) == (None, None)
    assert record["source"]["kind"] == "bundle"
    assert record["source"]["signature"] == "unsigned"
    assert "signature: unsigned" in (place / "out" / "index.html").read_text()


@pytest.mark.parametrize(("key", "status"), [(PUBLIC_KEY, "valid"), (None, "unknown signer")])
def test_success_of_the_bundle_of_an_earlier_release(
    key: str | None, status: str, place: Path
) -> None:
    transcribe_file(GOLDEN, place / "out", key=key)
    assert read_record(place / "out")["source"]["signature"] == status


def test_fail_of_a_damaged_bundle(place: Path) -> None:
    damaged = bytearray(make_sample())
    damaged[damaged.index(b"PK\1\2") - 20] ^= 1  # the signature
    (place / "room.zip").write_bytes(damaged)
    with pytest.raises(BundleDamaged) as caught:
        transcribe_file(place / "room.zip", place / "out")
    assert "imported" not in caught.value.fix
    assert [path.name for path in place.iterdir()] == ["room.zip"]


def test_fail_of_a_wrong_signature(place: Path) -> None:
    from tests.rooms.bundle.factories import make_entries, make_signature

    document = make_manifest(make_event(1))
    signed = make_signature(
        make_entries(document), document,
        key_id="xTU8w4ZnWj6hVtTrIZ2mGr9EFXlMTLl5nXlzBJ5nqKU", algorithm="ed25519", signature="AAAA",
    )  # fmt: skip
    from federation.keys.signing import key_from_text

    signed["key_id"] = key_from_text(PUBLIC_KEY).key_id
    (place / "room.zip").write_bytes(make_bundle(document, signed=signed))
    with pytest.raises(BundleNotVerified):
        transcribe_file(place / "room.zip", place / "out", key=PUBLIC_KEY)


def test_fail_directory_exists(place: Path) -> None:
    (place / "room.zip").write_bytes(make_sample())
    (place / "out").mkdir()
    with pytest.raises(FileExists):
        transcribe_file(place / "room.zip", place / "out")
    (place / "out" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="not a transcript"):
        transcribe_file(place / "room.zip", place / "out", overwrite=True)
    assert (place / "out" / "mine.txt").read_text() == "mine"


def test_success_force_replaces_a_transcript(place: Path) -> None:
    (place / "room.zip").write_bytes(make_sample())
    transcribe_file(place / "room.zip", place / "out")
    (place / "out" / "old.txt").write_text("old")
    transcribe_file(place / "room.zip", place / "out", overwrite=True)
    read_record(place / "out")
    assert sorted(path.name for path in place.iterdir()) == ["out", "room.zip"]


# Stops in the middle of the second pass until it is killed.
HANG = """
import time
from rooms.transcripts import timeline
complete = timeline.Timeline._complete
def slow(self, number, *rest):
    if number == 3:
        time.sleep(60)
    return complete(self, number, *rest)
timeline.Timeline._complete = slow
"""


@pytest.mark.once
@pytest.mark.parametrize("kind", ["html", "csv"])
@pytest.mark.usefixtures("server")
def test_fail_a_killed_transcript_leaves_a_draft_that_doctor_removes(
    kind: str, place: Path
) -> None:
    words = ("room", "transcript", "lobby", "--tenant", "acme", "--format", kind)
    with start_export(*words, "--output", str(place / "out"), prepare=HANG) as process:
        while sum(path.stat().st_size for path in place.glob(".out.*.draft/*")) < 100_000:
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    assert [path.suffix for path in place.iterdir()] == [".draft"]
    run_scaiwave("doctor", "--fix")
    assert list(place.iterdir()) == []


@pytest.mark.once
@pytest.mark.usefixtures("server")
def test_fail_an_interrupted_transcript_leaves_nothing(place: Path) -> None:
    words = ("room", "transcript", "lobby", "--tenant", "acme")
    with start_export(*words, "--output", str(place / "out"), prepare=HANG) as process:
        while sum(path.stat().st_size for path in place.glob(".out.*.draft/*")) < 100_000:
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert "[SW_TERMINATED]" in err.decode()
    assert list(place.iterdir()) == []


@pytest.mark.once
def test_success_command(server: Server, place: Path) -> None:
    words = ("room", "transcript", "lobby", "--tenant", "acme", "--output", str(place / "out"))
    period = ("--since", "2020-01-01", "--time-zone", "Europe/Amsterdam")
    ended = run_scaiwave(*words, *period, "--json")
    assert (ended.code, ended.err) == (0, "")
    document = json.loads(ended.out)
    assert document["events"]["shown"] == EVENTS
    assert document["directory"] == str(place / "out")
    record = read_record(place / "out")
    assert record["time_zone"] == "Europe/Amsterdam"
    assert record["window"]["since"] == "2019-12-31T23:00:00.000000Z"
    again = run_scaiwave(*words)
    assert (again.code, again.err.splitlines()[0]) == (
        1, f"Error: {place / 'out'} already exists. It is unchanged. [SW_FILE_EXISTS]",
    )  # fmt: skip


@pytest.mark.once
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--bundle", "nothing.zip"), "Can't read nothing.zip: No such file or directory."),
        (("lobby", "--tenant", "acme", "--time-zone", "Mars"), "Time zone not found: Mars."),
    ],
)
def test_fail_usage(words: tuple[str, ...], message: str, place: Path) -> None:
    ended = run_scaiwave("room", "transcript", *words, "--output", str(place / "out"))
    assert ended.code == 2
    assert ended.err.startswith(f"Error: {message} [SW_USAGE]\n")


MEASURE = """
import pathlib, sys
from scaiwave.cli import main
code = main(["room", "transcript", "--bundle", sys.argv[1], "--output", sys.argv[2],
             "--format", sys.argv[3], "--quiet"])
lines = pathlib.Path("/proc/self/status").read_text().splitlines()
print([int(line.split()[1]) for line in lines if line.startswith("VmHWM:")][0])
sys.exit(code)
"""


@pytest.mark.once
@pytest.mark.fresh_interpreter
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("kind", FORMATS)
def test_success_memory_does_not_grow_with_the_room(kind: str, place: Path) -> None:
    peaks = []
    for count in (20_000, 60_000):
        events = (
            make_event(number, origin_ts=1_764_000_000 + number * 60)
            for number in range(1, count + 1)
        )
        path = place / f"{count}.zip"
        path.write_bytes(make_bundle(make_manifest(*events)))
        ended = subprocess.run(
            [sys.executable, "-c", MEASURE, path, place / f"{count}-{kind}", kind],
            cwd=CHECKOUT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        peaks.append(int(ended.stdout.split()[-1]))
    assert peaks[1] < peaks[0] * 1.1
    assert peaks[1] < 120 * 1024
