"""Transcripts of chains: the room after the last bundle, or a refusal before anything is
written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from shutil import copy

import pytest

from rooms.bundle import chain
from rooms.errors import BundleChainGap, BundleChainOther, BundleError, BundleNotVerified
from rooms.transcripts.document import TranscriptOptions
from rooms.transcripts.wording import Clock
from scaiwave.core.errors import DomainError, UsageError
from tests.rooms.bundle.factories import make_bundle, make_entries, make_event, make_manifest
from tests.rooms.bundle.golden import GOLDEN, GOLDEN_INCREMENT, PUBLIC_KEY
from tests.rooms.increments.histories import merge
from tests.rooms.increments.made_increments import make_increment
from tests.rooms.transcripts.test_transcribe_room import read_record, transcribe_file
from tests.scaiwave.cli_helpers import run_scaiwave


@pytest.fixture
def links(tmp_path: Path) -> Path:
    """A directory with a whole bundle and an increment."""
    directory = tmp_path / "links"
    directory.mkdir()
    copy(GOLDEN, directory / "0000.zip")
    copy(GOLDEN_INCREMENT, directory / "0001.zip")
    return directory


def read_all(directory: Path) -> dict[str, bytes]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


@pytest.mark.parametrize("kind", ["html", "text", "csv", "rsmf"])
def test_success_as_of_the_merged_bundle(kind: str, links: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.zip"
    whole.write_bytes(merge([links / "0000.zip", links / "0001.zip"]))
    for number, path in enumerate((links, links / "0001.zip", whole)):
        options = TranscriptOptions(kind, Clock(UTC))
        transcribe_file(path, tmp_path / str(number), options=options)
    of_chain, of_link, of_whole = (read_all(tmp_path / str(number)) for number in range(3))
    assert of_chain == of_link
    assert of_chain.keys() == of_whole.keys()
    for name in ("transcript.csv", *(name for name in of_whole if name.startswith("media/"))):
        assert of_chain.get(name) == of_whole.get(name)
    records = [json.loads(files["transcript.json"]) for files in (of_chain, of_whole)]
    for key in ("events", "media", "room"):
        assert records[0][key] == records[1][key]
    source = read_record(tmp_path / "0")["source"]
    assert (source["kind"], source["signature"]) == ("chain", "unknown signer")
    assert source["manifest_sha256"] == source["links"][-1]
    assert len(source["links"]) == 2


def test_success_signed_by_a_known_key(links: Path, tmp_path: Path) -> None:
    transcribe_file(links, tmp_path / "out", key=PUBLIC_KEY)
    assert read_record(tmp_path / "out")["source"]["signature"] == "valid"


def test_success_of_the_base(links: Path, tmp_path: Path) -> None:
    transcribe_file(links / "0000.zip", tmp_path / "out")
    assert read_record(tmp_path / "out")["source"]["kind"] == "bundle"


def _remove_base(links: Path) -> None:
    (links / "0000.zip").unlink()


def _leave_a_gap(links: Path) -> None:
    base = (links / "0000.zip").read_bytes()
    link = make_increment(base, [])
    (links / "0001.zip").write_bytes(link)
    (links / "0002.zip").write_bytes(link)


def _add_another_base(links: Path) -> None:
    (links / "0000.zip").write_bytes(make_bundle(make_manifest(make_event(1))))


def _replace_by_a_pipe(links: Path) -> None:
    (links / "0001.zip").unlink()
    os.mkfifo(links / "0001.zip")


def _replace_by_a_directory(links: Path) -> None:
    (links / "0001.zip").unlink()
    (links / "0001.zip").mkdir()


def _cut_the_end(links: Path) -> None:
    data = (links / "0001.zip").read_bytes()
    (links / "0001.zip").write_bytes(data[:-1])


def _forge_the_digest(links: Path) -> None:
    (links / "0001.zip").write_bytes(make_increment((links / "0000.zip").read_bytes(), []))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (_remove_base, BundleChainGap),
        (_leave_a_gap, BundleChainOther),
        (_add_another_base, BundleChainOther),
        (_replace_by_a_pipe, UsageError),
        (_replace_by_a_directory, UsageError),
        (_cut_the_end, BundleError),
        (_forge_the_digest, BundleError),
    ],
)
def test_fail_hostile(
    change: Callable[[Path], None], error: type[DomainError], links: Path, tmp_path: Path
) -> None:
    change(links)
    with pytest.raises(error) as caught:
        transcribe_file(links, tmp_path / "out")
    assert "imported" not in caught.value.fix
    assert {path.name for path in tmp_path.iterdir()} <= {"links", "home"}


def test_fail_one_wrong_signature(links: Path, tmp_path: Path) -> None:
    from federation.keys.signing import key_from_text
    from tests.rooms.bundle.factories import make_signature

    document = make_manifest(make_event(1))
    signed = make_signature(
        make_entries(document), document,
        key_id=key_from_text(PUBLIC_KEY).key_id, algorithm="ed25519", signature="AAAA",
    )  # fmt: skip
    (links / "0000.zip").write_bytes(make_bundle(document, signed=signed))
    (links / "0001.zip").unlink()
    with pytest.raises(BundleNotVerified, match=r"The signature of .*0000\.zip is not valid"):
        transcribe_file(links, tmp_path / "out", key=PUBLIC_KEY)


def test_fail_more_people_than_memory_is_for(
    links: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each bundle may describe many; a chain of many increments must not describe many times as
    many."""
    monkeypatch.setattr(chain, "MAX_DESCRIPTIONS", 5)
    with pytest.raises(BundleChainOther, match="describe more than 5 people and attachments"):
        transcribe_file(links, tmp_path / "out")


def test_success_number_of_many_digits(links: Path, tmp_path: Path) -> None:
    """A fast decoder refuses it, but PostgreSQL writes a large double in this way."""
    event = make_event(1, event_type="org.example.sum", content={"total": 10**300})
    (links / "0000.zip").write_bytes(make_bundle(make_manifest(event)))
    (links / "0001.zip").unlink()
    transcribe_file(links, tmp_path / "out", options=TranscriptOptions("text", Clock(UTC)))
    assert str(10**300) in (tmp_path / "out" / "transcript.txt").read_text()


@pytest.mark.once
def test_success_command(links: Path, tmp_path: Path) -> None:
    words = ("room", "transcript", "--bundle", str(links), "--output", str(tmp_path / "out"))
    ended = run_scaiwave(*words, "--json")
    assert (ended.code, ended.err) == (0, "")
    assert json.loads(ended.out)["events"]["read"] == 19
