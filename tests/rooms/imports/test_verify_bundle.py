"""`scaiwave room verify`: a bundle looked at to its end, and what its signature is worth."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from federation.errors import InvalidDescriptor, InvalidKey
from federation.models import ServerKey
from rooms.bundle.format import MIB
from rooms.errors import BundleError, BundleNotZip
from rooms.imports.verify_bundle import VerifiedBundle, verify_bundle
from scaiwave.core.errors import UsageError
from tests.rooms.bundle.archive_factories import make_zip
from tests.rooms.bundle.corpus_archives import ARCHIVES
from tests.rooms.bundle.corpus_events import EVENTS
from tests.rooms.bundle.corpus_names import NAMES
from tests.rooms.bundle.factories import (
    encode_manifest,
    make_bundle,
    make_event,
    make_manifest,
    make_media_row,
    make_part,
    make_signature,
    make_uid,
)
from tests.rooms.bundle.golden import GOLDEN, PUBLIC_KEY, make_signing_key
from tests.rooms.bundle.malformed_bundles import REFUSALS
from tests.scaiwave.cli_helpers import run_at_terminal, run_scaiwave, run_shell
from tests.tenants.factories import HOST_OPERATOR, NOW

OTHER_KEY = "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
KEY_ID = "SlgIbSp11gibI47sKIFbA1XiJjyYuwKjXmeJ_BtfxWQ"
SIGNED = f"It is signed by key {KEY_ID}, which proves no server name."
NAMED = f"It is signed by chat.example.com at 2026-11-24T19:05:00.000000Z with key {KEY_ID}."


def verify(raw: bytes, **changes: Any) -> VerifiedBundle:
    arguments: dict[str, Any] = {"operator": None, "key": PUBLIC_KEY, "max_bytes": 64 * MIB}
    return verify_bundle(file=io.BytesIO(raw), **{**arguments, **changes})


def own_key() -> None:
    """The key of the golden bundle, as this server's own; the private key is not needed."""
    public = make_signing_key().public_key().public_bytes_raw()
    ServerKey.objects.create(
        key_id=KEY_ID,
        public_key=base64.b64encode(public).decode(),
        private_key_encrypted="",
        created_at=NOW,
        signs_from=NOW.replace(year=2020),
    )


def descriptor(path: Path, **changes: object) -> Path:
    known = {"server_name": "chat.example.com", "public_key": OTHER_KEY, "previous_keys": []}
    path.write_text(json.dumps({**known, **changes}))
    return path


def test_success_valid() -> None:
    found = verify(GOLDEN.read_bytes(), require_signature=True)
    assert found.sentence == f"The bundle is valid. {SIGNED}"
    document = found.document()
    assert (document["valid"], document["problems"]) == (True, [])
    assert document["signature"] == {
        "status": "valid",
        "reason": None,
        "key_id": KEY_ID,
        "server_name": None,
        "signed_at": "2026-11-24T19:05:00.000000Z",
    }
    assert (document["events"], document["media"], document["missing_media"]) == (19, 6, 3)


def test_success_descriptor(tmp_path: Path) -> None:
    """The signing key, or one that was rotated since and had not expired when it signed."""
    previous = [{"public_key": PUBLIC_KEY, "expires_at": "2026-12-24T00:00:00Z"}]
    for changes in ({"public_key": PUBLIC_KEY}, {"previous_keys": previous}):
        saved = descriptor(tmp_path / "server.json", **changes)
        found = verify(GOLDEN.read_bytes(), key=None, descriptor=saved)
        assert found.sentence == f"The bundle is valid. {NAMED}"


@pytest.mark.django_db
def test_success_own_keys() -> None:
    own_key()
    found = verify(GOLDEN.read_bytes(), operator=HOST_OPERATOR, key=None)
    assert found.sentence == f"The bundle is valid. {NAMED}"


def test_success_unknown_signer() -> None:
    found = verify(GOLDEN.read_bytes(), key=OTHER_KEY)
    assert found.sentence == (
        "The bundle is valid. It claims to be signed by chat.example.com at "
        f"2026-11-24T19:05:00.000000Z with key {KEY_ID}, but this key is not known here."
    )
    assert found.error is None


def test_success_unsigned() -> None:
    for signed in (True, False):
        found = verify(make_bundle(make_manifest(make_event(1)), signed=signed))
        assert found.sentence == (
            "The bundle is valid. It is unsigned, so its origin can't be verified."
        )


def test_fail_signature_required() -> None:
    for found in (
        verify(make_bundle(make_manifest(make_event(1))), require_signature=True),
        verify(GOLDEN.read_bytes(), key=OTHER_KEY, require_signature=True),
    ):
        assert found.error is not None
        assert found.error.message == (
            "The bundle has no signature from a known key, which --require-signature demands."
        )


def test_fail_wrong_signature() -> None:
    forged = {
        "key_id": KEY_ID,
        "algorithm": "ed25519",
        "signature": base64.b64encode(bytes(64)).decode(),
    }
    document = make_manifest(make_event(1))
    entries = {"manifest.json": encode_manifest(document)}
    found = verify(make_bundle(document, signed=make_signature(entries, document, **forged)))
    assert found.error is not None
    assert found.error.message == (
        "The bundle's signature is not valid. "
        f"The signature does not match key {KEY_ID} and the data."
    )


def test_fail_each_wrong_missing_and_extra_entry_is_named() -> None:
    """One of each, in one archive; names are in the order of their hashes."""
    names = sorted(f"media/{sha256(one).hexdigest()}/{one.decode()}" for one in (b"a", b"b", b"c"))
    damaged, lying, extra = names
    document = make_manifest(
        make_event(1),
        media=[
            make_media_row(damaged[-1].encode(), damaged[-1]),
            make_media_row(b"d", "d", media_id=make_uid(4)),
        ],
    )
    raw = make_zip(
        make_part("manifest.json", encode_manifest(document)),
        replace(make_part(damaged, damaged[-1].encode()), crc=7),
        make_part(lying, b"x"),
        make_part(extra, extra[-1].encode()),
        make_part("signature.json", json.dumps(make_signature({}, document)).encode()),
    )
    missing = f"media/{sha256(b'd').hexdigest()}/d"
    found = verify(raw)
    assert [problem.message for problem in found.problems] == [
        f"Entry {damaged} is damaged: its checksum does not match.",
        f"Entry {lying} does not have the hash in its name.",
        f"Entry {lying} is not in the manifest's `media`.",
        f"Entry {extra} is not in the manifest's `media`.",
        f"Entry {missing} is missing.",
        *[f"signature.json does not list {name}." for name in ("manifest.json", *names)],
    ]
    assert found.error is not None
    assert found.error.message == "The bundle is not valid: 9 problems found."
    assert {row["entry"] for row in found.problem_rows()} >= {*names, missing}


@pytest.mark.parametrize("name", ["out of order", "event ids twice", "reaction to nothing"])
def test_fail_manifest(name: str) -> None:
    code, message = REFUSALS[name]
    found = verify(make_bundle(EVENTS[name]))
    assert [problem.message for problem in found.problems] == [message]
    row = found.problem_rows()[0]
    assert (row["code"], row["entry"]) == (code, "manifest.json")
    assert (found.header, found.counts) == (None, None)
    assert found.manifest_sha256 == sha256(encode_manifest(EVENTS[name])).hexdigest()
    assert found.error is not None
    assert found.error.message == "The bundle is not valid: 1 problem found."


def test_fail_manifest_that_can_not_be_unpacked() -> None:
    """What signs for it is not blamed as well, and its hash is not made up."""
    document = make_manifest(make_event(1))
    raw = encode_manifest(document)
    signed = json.dumps(make_signature({"manifest.json": raw}, document)).encode()
    found = verify(
        make_zip(
            replace(make_part("manifest.json", raw), crc=1), make_part("signature.json", signed)
        )
    )
    assert [problem.message for problem in found.problems] == [
        "Entry manifest.json is damaged: its checksum does not match."
    ]
    assert found.facts()["manifest_sha256"] is None


@pytest.mark.parametrize("name", ["text", "ratio", "encrypted", "backslash", "duplicate names"])
def test_fail_dangerous_archive(name: str) -> None:
    with pytest.raises(BundleError) as caught:
        verify({**ARCHIVES, **NAMES}[name]())
    assert (caught.value.code, caught.value.message) == REFUSALS[name]
    question = "Is this the right file? If so, e" if isinstance(caught.value, BundleNotZip) else "E"
    assert caught.value.fix == f"{question}xport the room again, and transfer the file unchanged."


def test_fail_invalid_keys(tmp_path: Path) -> None:
    raw = GOLDEN.read_bytes()
    with pytest.raises(InvalidKey):
        verify(raw, key="hello")
    with pytest.raises(InvalidDescriptor):
        verify(raw, descriptor=descriptor(tmp_path / "bad.json", public_key=7))
    with pytest.raises(UsageError) as caught:
        verify(raw, descriptor=tmp_path / "absent.json")
    assert (
        caught.value.message
        == f"Can't read descriptor {tmp_path}/absent.json: No such file or directory."
    )
    (tmp_path / "page.html").write_text("<html>")
    with pytest.raises(UsageError) as caught:
        verify(raw, descriptor=tmp_path / "page.html")
    assert caught.value.message == f"Invalid descriptor: {tmp_path}/page.html is not JSON."
    with pytest.raises(UsageError) as caught:
        verify(raw, descriptor=Path("/dev/zero"))
    assert caught.value.message == "Invalid descriptor: /dev/zero is not JSON."


def test_fail_not_seekable_to_its_end() -> None:
    with Path("/proc/self/mem").open("rb") as file, pytest.raises(BundleNotZip) as caught:
        verify_bundle(operator=None, file=file, max_bytes=MIB, key=PUBLIC_KEY)
    assert caught.value.message == "Can't read the bundle: Invalid argument."


def test_success_command_needs_no_database(tmp_path: Path) -> None:
    """The home directory has no database yet, and the configured one can't be reached."""
    ended = run_scaiwave(
        "room", "verify", str(GOLDEN), "--key", PUBLIC_KEY, "--require-signature",
        SCAIWAVE_DB_URL="postgres://unknown@127.0.0.1:1/none",
    )  # fmt: skip
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[:2] == [f"The bundle is valid. {SIGNED}", "Room              Launch 🚀"]
    assert lines[-1] == "Signature         valid"


def test_fail_command_names_the_option_that_needs_no_database() -> None:
    unmigrated = run_scaiwave("room", "verify", str(GOLDEN))
    unreachable = run_scaiwave(
        "room", "verify", str(GOLDEN), SCAIWAVE_DB_URL="postgres://unknown@127.0.0.1:1/none"
    )
    for ended, code in (
        (unmigrated, "[SW_DATABASE_UNMIGRATED]"),
        (unreachable, "[SW_DATABASE_UNREACHABLE]"),
    ):
        assert (ended.code, ended.out, code in ended.err) == (2, "", True)
        assert ended.err.endswith(
            " Without a database, pass the signer's key with --key or --descriptor.\n"
        )


def test_fail_command(tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"
    with ZipFile(GOLDEN) as golden:
        manifest, lost, *others = [make_part(name, golden.read(name)) for name in golden.namelist()]
    path.write_bytes(make_zip(manifest, *others))
    ended = run_scaiwave("room", "verify", str(path), "--key", PUBLIC_KEY)
    assert ended.code == 1
    lines = ended.out.splitlines()
    assert lines[:2] == [
        f"The bundle is not valid: 2 problems found. {SIGNED}",
        f"Problem: Entry {lost.name.decode()} is missing.",
    ]
    assert lines[-1] == "Signature         valid (content not valid)"
    assert ended.err.splitlines() == [
        "Error: The bundle is not valid: 2 problems found. [SW_BUNDLE_NOT_VERIFIED]",
        "  Fix: Do not import it. Export the room again, and transfer the file unchanged.",
    ]


def test_fail_command_json_from_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"
    path.write_bytes(make_bundle(make_manifest(make_event(1), media=[make_media_row(b"x")])))
    ended = run_shell(f"cat {path} | scaiwave room verify - --json --key {PUBLIC_KEY}")
    assert ended.code == 1
    problems = json.loads(ended.out)["problems"]
    assert [row["code"] for row in problems] == ["SW_BUNDLE_DAMAGED"]
    assert json.loads(ended.err)["error"]["code"] == "SW_BUNDLE_NOT_VERIFIED"


def test_fail_command_names_its_input() -> None:
    ended = run_scaiwave("room", "verify", "/nowhere/bundle.zip", "--key", PUBLIC_KEY)
    assert (ended.code, ended.err.splitlines()[0]) == (
        2,
        "Error: Can't read /nowhere/bundle.zip: No such file or directory. [SW_USAGE]",
    )
    ended = run_scaiwave("room", "verify", "bundle.zip", "--key", PUBLIC_KEY, "--chain", "/nowhere")
    assert (ended.code, ended.err) == (
        2,
        "Error: Can't combine --chain with a bundle: bundle.zip. [SW_USAGE]\n"
        "  Fix: Name it after --chain if it is of the chain, or else verify it on its own.\n",
    )
    ended = run_at_terminal("room", "verify", "--key", PUBLIC_KEY)
    assert ended.code == 2
    assert "Can't read a bundle from a terminal." in ended.out
    ended = run_scaiwave("room", "verify", "--key", PUBLIC_KEY)
    assert (ended.code, ended.err.splitlines()[0]) == (
        1,
        "Error: The bundle is empty: 0 bytes. [SW_BUNDLE_NOT_ZIP]",
    )
