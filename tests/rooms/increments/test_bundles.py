"""Chains as files: verified, merged and compared, without a database."""

from __future__ import annotations

import base64
import json
import re
import zipfile
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from federation.models import ServerKey
from rooms.bundle.chain import find_all
from rooms.bundle.chain_files import find_chain
from rooms.bundle.reader import read_bundle
from rooms.errors import (
    BundleChainGap,
    BundleChainOther,
    BundleNotVerified,
    BundleNotZip,
    BundleVersion,
)
from rooms.imports.import_room import ImportRequest, import_room
from rooms.imports.verify_bundle import verify_chain
from rooms.models import Event
from scaiwave.core.errors import FileExists, UsageError
from scaiwave.core.operators import get_host_operator
from tests.rooms.increments.histories import (
    MAX_BYTES,
    Life,
    append,
    export_whole,
    import_whole,
    merge,
    read_manifest,
    value,
)
from tests.rooms.increments.made_increments import make_increment
from tests.rooms.test_round_trip import a_home
from tests.scaiwave import row_factories
from tests.tenants.factories import run_command

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def life(media_root: Path, tmp_path: Path) -> Life:
    """A room with a chain of a base and three increments."""
    home = a_home()
    room = row_factories.make_room(home.workspace, home.anna, name="Lobby")
    life = Life(room, tmp_path / "chain")
    life.directory.mkdir()
    for number in range(5):
        life.do("add", 0, {"content": {"body": f"message {number}"}})
    life.do("attach", 0, {"text": "a file"})
    life.end_day()
    for act, place in (("edit", 0), ("redact", 1), ("delete", 2)):
        life.do(act, place, {"content": {"body": "new"}, "text": "x"})
        life.end_day()
    return life


def test_success_verify(life: Life, tmp_path: Path) -> None:
    printed = run_command("verify_bundle", "--chain", str(life.directory))
    assert "The chain of 4 bundles is valid. Every bundle is signed with a known key." in printed
    files = [str(path) for path in reversed(life.links())]
    document = json.loads(run_command("verify_bundle", "--chain", *files, "--json"))
    (chain,) = document["chains"]
    assert chain["valid"]
    assert [row["events"] for row in chain["links"]] == [6, 6, 6, 5]
    assert [row["sequence"] for row in chain["links"]] == [0, 1, 2, 3]
    # One increment by itself is a valid bundle too, and not the whole room.
    alone, position = run_command("verify_bundle", files[0]), read_manifest(Path(files[0]))["chain"]
    assert (
        "The bundle is valid: increment 3 of a chain, with the changes since "
        f"{position['since']}. It "
        "is signed by "
    ) in alone
    assert re.search("Whole room +no", alone)
    document = json.loads(run_command("verify_bundle", files[0], "--json"))
    assert (document["whole_room"], document["increment"]) == (False, position)


def test_success_verify_names_what_it_did_not_read(life: Life) -> None:
    names = [f"000{number} (copy).zip" for number in range(6)]
    for name in names:
        (life.directory / name).write_bytes(b"x")
    words, printed = ("verify_bundle", "--chain", str(life.directory)), StringIO()
    assert json.loads(run_command(*words, "--json"))["not_verified"] == names
    call_command(*words, stdout=StringIO(), stderr=printed)
    assert " ".join(printed.getvalue().split()) == (
        "Warning: Not verified, because only names like 0001.zip are bundles: "
        f"{', '.join(names[:5])} and 1 more."
    )


@pytest.mark.parametrize("size", [0, 700])
def test_fail_verify_a_broken_increment(life: Life, size: int) -> None:
    """Nothing would be imported in any case."""
    last = life.links()[-1]
    last.write_bytes(last.read_bytes()[:size])
    for words in (("--chain", str(life.directory)), (str(last),)):
        with pytest.raises(BundleNotZip) as caught:
            run_command("verify_bundle", *words)
        assert caught.value.fix == BundleNotZip.advice


def test_success_removed_files_are_counted(life: Life, tmp_path: Path) -> None:
    life.do("detach", 0, {})
    words = ("--tenant", life.room.tenant.slug, "--output", str(tmp_path / "link.zip"))
    since = [word for path in life.links() for word in ("--since-bundle", str(path))]
    printed = run_command("export_room", str(life.room.pk), *words, *since)
    assert "as increment 4: 0 added, 0 changed, 0 deleted, 1 attachment removed." in printed
    home = a_home()
    import_whole(home, life.links()[0].read_bytes())
    for link in life.links()[1:]:
        append(home, link)
    done = append(home, tmp_path / "link.zip")
    assert done.sentence == (
        "Imported increment 4 into room 'Lobby': 0 added, 0 changed, 0 deleted, 1 attachment "
        "removed."
    )


def test_success_deleted_ids_are_no_header(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may be many more bytes, since they are not in memory."""
    monkeypatch.setattr("rooms.bundle.manifest.reader.MAX_HEADER_BYTES", 10_000)
    ids = [f"01990000-0000-7000-8000-{number:012}" for number in range(1000)]
    after = {"events": 0, "media": 0, "digest": "0" * 32}
    data = make_increment(life.links()[0].read_bytes(), [], deleted=ids, after=after)
    with read_bundle(BytesIO(data), max_bytes=MAX_BYTES, find_targets=find_all) as bundle:
        assert [key for keys in bundle.iter_deleted() for key in keys] == ids


def test_success_verify_all_chains(life: Life) -> None:
    (life.directory / "0004.zip").write_bytes(export_whole(life))
    document = json.loads(run_command("verify_bundle", "--chain", str(life.directory), "--json"))
    assert [len(chain["links"]) for chain in document["chains"]] == [4, 1]


def test_fail_verify_one_unsigned_increment(life: Life) -> None:
    ServerKey.objects.all().delete()
    life.do("touch", 0, {"text": "y"})
    life.end_day()
    words = ("verify_bundle", "--chain", str(life.directory))
    chain = json.loads(run_command(*words, "--json"))["chains"][0]
    assert (chain["valid"], chain["signature"]) == (True, "unsigned")
    with pytest.raises(BundleNotVerified) as caught:
        run_command(*words, "--require-signature")
    assert caught.value.message == (
        f"{life.links()[-1]} has no signature from a known key, which --require-signature demands."
    )


def test_fail_verify_one_wrong_signature(life: Life) -> None:
    link = life.links()[2]
    with zipfile.ZipFile(link) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    document = json.loads(entries["signature.json"])
    document["signature"] = base64.b64encode(bytes(64)).decode()
    with zipfile.ZipFile(link, "w") as archive:
        for name, data in {**entries, "signature.json": json.dumps(document).encode()}.items():
            archive.writestr(name, data)
    found = verify_chain(
        operator=get_host_operator(), files=find_chain(life.directory), max_bytes=MAX_BYTES
    )
    assert found.sentence == "The chain of 4 bundles is complete, but a signature is wrong."
    assert str(found.error) == f"The signature of {link} is not valid."


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_fail_missing_increment(life: Life, missing: int) -> None:
    """Each bundle but the last, which nothing refers to."""
    life.links()[missing].unlink()
    named = "The base" if not missing else f"Bundles are missing: {missing}"
    with pytest.raises(BundleChainGap, match=named):
        run_command("verify_bundle", "--chain", str(life.directory))


def test_success_merge(life: Life, tmp_path: Path) -> None:
    whole = tmp_path / "whole.zip"
    with connection.execute_wrapper(_refuse):
        printed = run_command("merge_bundles", str(life.directory), "--output", str(whole))
    assert "(increment 3): 5 events, 1 attachment," in printed
    assert value(whole.read_bytes()) == value(export_whole(life))
    with pytest.raises(FileExists):
        run_command("merge_bundles", str(life.directory), "--output", str(whole))


def _refuse(*args: Any) -> None:
    raise AssertionError("the database was used")


def test_success_merge_to_sequence(life: Life, tmp_path: Path) -> None:
    whole = tmp_path / "whole.zip"
    words = (*map(str, life.links()), "--output", str(whole), "--to-sequence")
    document = json.loads(run_command("merge_bundles", *words, "1", "--json"))
    assert (document["sequence"], document["events"]) == (1, 6)
    assert whole.read_bytes() == whole.read_bytes()
    assert value(whole.read_bytes()) == value(merge(life.links()[:2]))
    with pytest.raises(BundleChainGap, match="The chain has no bundle 4"):
        run_command("merge_bundles", *words, "4", "--force")
    # It can be imported as a new room.
    home = a_home()
    with whole.open("rb") as file:
        options: dict[str, Any] = {
            **home.names,
            "max_bytes": MAX_BYTES,
            "now": life.now,
        }
        request = ImportRequest(**options)
        done = import_room(operator=get_host_operator(), request=request, file=file)
    assert Event.objects.filter(room=done.room_id).count() == 6


def test_fail_merge_foreign(life: Life, tmp_path: Path) -> None:
    other = Life(row_factories.make_room(life.room.workspace, life.room.creator), tmp_path / "o")
    other.directory.mkdir()
    other.end_day()
    files = [str(other.links()[0]), str(life.links()[1])]
    with pytest.raises(BundleChainOther, match="belongs to another base"):
        run_command("merge_bundles", *files, "--output", str(tmp_path / "x.zip"))
    assert not (tmp_path / "x.zip").exists()


def test_success_diff(life: Life, tmp_path: Path) -> None:
    base, first, _, third = map(str, life.links())
    document = json.loads(run_command("diff_bundles", base, third, "--json"))
    assert [row["change"] for row in document["events"]] == ["edited", "redacted", "deleted"]
    person = life.room.creator
    assert {row["sender"] for row in document["events"]} == {f"@{person.local_id}:localhost"}
    assert document["room"] == document["senders"] == []
    document = json.loads(run_command("diff_bundles", third, first, "--json"))
    assert [row["change"] for row in document["events"]] == ["redacted", "added"]
    assert "The bundles do not differ." in run_command("diff_bundles", str(life.directory), third)


def test_success_diff_of_everything_else(life: Life) -> None:
    life.do("topic", 0, {"text": "New"})
    life.do("rename", 0, {"text": "Renamed"})
    life.do("rescan", 0, {})
    life.do("attach", 1, {"text": "another file"})
    life.do("move", 0, {})
    life.end_day()
    life.do("detach", 0, {})
    life.end_day()
    before, middle, after = map(str, life.links()[-3:])
    printed = run_command("diff_bundles", before, middle)
    assert (
        "Differences: 1 added, 1 changed, 1 attachment added, 1 attachment changed, 1 sender "
        "changed, name changed, topic changed."
    ) in printed
    assert "Differences: 1 attachment removed." in run_command("diff_bundles", middle, after)


def test_fail_paths(life: Life, tmp_path: Path) -> None:
    for missing in (tmp_path / "nothing", tmp_path):
        with pytest.raises(UsageError):
            find_chain(missing)


def test_fail_import_of_an_increment(life: Life) -> None:
    """As readers of version 1 refuse it."""
    with life.links()[1].open("rb") as file, pytest.raises(BundleVersion, match="an increment"):
        read_bundle(file, max_bytes=MAX_BYTES)


def test_fail_merge_over_a_bundle_of_the_chain(life: Life) -> None:
    base = life.links()[0]
    before = base.read_bytes()
    with pytest.raises(UsageError, match="is a bundle of the chain"):
        run_command("merge_bundles", str(life.directory), "--output", str(base), "--force")
    assert base.read_bytes() == before
