"""Sources that want to harm: refused with an error, or converted with an account of each row.

None may end in a traceback, write outside of the output directory, take much memory, or leave
bytes of other files in a bundle. The archives are made here, byte by byte where a library would
refuse to make them.
"""

from __future__ import annotations

import io
import json
import os
import resource
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rooms.conversion import spool
from rooms.errors import SourceRefused, SourceUnreadable
from scaiwave.core.errors import ScaiWaveError
from tests.rooms.conversion.factories import (
    FIRST_ID,
    Converted,
    assert_converts,
    convert,
    encode,
    make_discord_file,
    make_discord_message,
    make_mattermost_lines,
    make_post,
    make_slack_message,
    make_slack_tree,
    write_tree,
    write_zip,
)

MIB = 1024 * 1024
MAX_MEMORY = 150 * MIB
SECRET = b"a secret of this server"
DAY = "general/2024-01-01.json"


def build_zip(tree: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in tree.items():
            archive.writestr(zipfile.ZipInfo(name), encode(content), zipfile.ZIP_DEFLATED)
    return file.getvalue()


def patch_records(data: bytes, offset: int, value: bytes, *, local: int | None = None) -> bytes:
    """Replace bytes in each record of the central directory, and in each local header."""
    raw = bytearray(data)
    for signature, at in ((b"PK\1\2", offset), (b"PK\3\4", local)):
        position = raw.find(signature)
        while at is not None and position >= 0:
            raw[position + at : position + at + len(value)] = value
            position = raw.find(signature, position + 4)
    return bytes(raw)


SLACK = make_slack_tree(make_slack_message(0, "hello"))
PLAIN = build_zip(SLACK)
_END = PLAIN.rfind(b"PK\5\6")


def patch_last(data: bytes) -> bytes:
    """Let the last entry have an unknown compression."""
    raw = bytearray(data)
    raw[raw.rfind(b"PK\1\2") + 10] = 99
    return bytes(raw)


def make_overlap() -> bytes:
    """Two entries that share their bytes."""
    return patch_records(PLAIN, 42, struct.pack("<L", 0))


def make_bomb(size: int) -> bytes:
    return build_zip({**SLACK, "general/2024-01-02.json": b"[" + b" " * size + b"]"})


def make_lying_bomb() -> bytes:
    """Declares that an entry is small."""
    data = bytearray(build_zip({**SLACK, DAY: b"[" + b" " * 8 * MIB + b"]"}))
    position = data.rfind(b"PK\1\2")
    struct.pack_into("<LL", data, position + 20, 9_000, 20_000)
    return bytes(data)


def make_deep(levels: int, opening: str = "[", closing: str = "]") -> str:
    return f"[{opening * levels}{closing * levels}]"


def patch_end(offset: int, value: bytes) -> bytes:
    """Replace bytes in the end record."""
    return PLAIN[: _END + offset] + value + PLAIN[_END + offset + len(value) :]


REFUSED: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "only a signature": lambda: b"PK\3\4",
    "only an end": lambda: PLAIN[_END:],
    "end cut off": lambda: PLAIN[:_END],
    "half": lambda: PLAIN[: len(PLAIN) // 2],
    "directory beyond the file": lambda: patch_end(12, b"\xff\xff\xff\x00"),
    "huge count and size": lambda: patch_end(8, b"\xff" * 8),
    "directory of 512 MiB": lambda: patch_end(12, struct.pack("<L", 2**29)),
    "encrypted": lambda: patch_records(PLAIN, 8, b"\1\0", local=6),
    "strong encryption": lambda: patch_records(PLAIN, 8, b"\x41\0", local=6),
    "masked headers": lambda: patch_records(PLAIN, 8, b"\0\x20", local=6),
    "overlap": make_overlap,
    "bomb of 64 MiB": lambda: make_bomb(64 * MIB),
    "bomb that lies": make_lying_bomb,
    "directory record damaged": lambda: PLAIN.replace(b"PK\1\2", b"PX\1\2", 2),
    "another archive": lambda: b"7z\xbc\xaf\x27\x1c" + b"\0" * 100,
    "text": lambda: b"hello",
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_fail_archives(name: str, tmp_path: Path) -> None:
    source = tmp_path / "x.zip"
    source.write_bytes(REFUSED[name]())
    tracemalloc.start()
    try:
        with pytest.raises((SourceRefused, SourceUnreadable)):
            convert("slack", source, tmp_path / "out")
        assert tracemalloc.get_traced_memory()[1] < MAX_MEMORY
    finally:
        tracemalloc.stop()
    assert not list(tmp_path.glob("out/*.zip"))


UNSAFE_NAMES = (
    "../general/2024-01-02.json", "/general/2024-01-02.json", "general/../../2024-01-02.json",
    "C:/general/2024-01-02.json", "general\\..\\..\\x.json", "..", "../../etc/passwd",
)  # fmt: skip


@pytest.mark.parametrize("name", UNSAFE_NAMES)
def test_success_unsafe_names_are_never_opened(name: str, tmp_path: Path) -> None:
    source = tmp_path / "x.zip"
    source.write_bytes(build_zip({**SLACK, name: [make_slack_message(9, "out")]}))
    before = set(tmp_path.rglob("*"))
    converted = convert("slack", source, tmp_path / "out")
    assert converted.bodies("general") == ["hello"]
    assert converted.losses() == {"entry with an unsafe name": 1}
    assert {path for path in tmp_path.rglob("*") if "out" not in path.parts} == before


def make_tolerated() -> dict[str, bytes]:
    """Return archives that are unusual, but that other programs write."""
    renamed = SLACK | {"チャネル/2024-01-01.json": []}
    no_flag = patch_records(build_zip(renamed), 8, b"\0\0", local=6)
    link = io.BytesIO()
    with zipfile.ZipFile(link, "w") as archive:
        for name, content in SLACK.items():
            archive.writestr(name, encode(content))
        info = zipfile.ZipInfo("general/2024-01-09.json")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    described = io.BytesIO()
    with zipfile.ZipFile(described, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in SLACK.items():
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as entry:
                entry.write(encode(content))
    twice = build_zip(SLACK).replace(b"users.json", b"twice.json")
    doubled = io.BytesIO()
    with zipfile.ZipFile(doubled, "w") as archive:
        for name, content in SLACK.items():
            archive.writestr(name, encode(content))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr(DAY, encode([make_slack_message(1, "second")]))
    comment = io.BytesIO(PLAIN)
    with zipfile.ZipFile(comment, "a") as archive:
        archive.comment = b"from another program"
    return {
        "names without a flag": no_flag,
        "backslashes": PLAIN.replace(b"general/", b"general\\"),
        "link": link.getvalue(),
        "ZIP64 fields": described.getvalue(),
        "date 1980-00-00": patch_records(PLAIN, 12, b"\0\0\0\0", local=10),
        "no people": twice,
        "second entry with a name": doubled.getvalue(),
        "comment": comment.getvalue(),
        "unknown compression": patch_last(build_zip({**SLACK, "z/2024-01-05.json": []})),
    }  # fmt: skip


@pytest.mark.parametrize("name", make_tolerated())
def test_success_archives_of_other_programs(name: str, tmp_path: Path) -> None:
    source = tmp_path / "x.zip"
    source.write_bytes(make_tolerated()[name])
    converted = convert("slack", source, tmp_path / "out")
    assert converted.bodies("general") == ["hello"]


DEEP = 100_000
JSON_TEXTS: dict[str, str | bytes] = {
    "deep arrays": make_deep(DEEP),
    "deep objects": make_deep(DEEP, '{"a":', "}").replace("::", ":"),
    "deep and cut": "[" * DEEP,
    "deep in a message": f'[{{"ts": "1704103200.1", "user": "U1", "text": {make_deep(5000)}}}]',
    "many quotes": '["' * 50_000,
    "one quote": '["' + "x" * MIB,
    "backslashes": '["' + "\\" * 100_001 + '"]',
    "large integer": f'[{{"ts": {"9" * 100_000}}}]',
    "large exponent": '[{"ts": 1e999999}]',
    "constants": "[NaN, Infinity, -Infinity]",
    "not UTF-8": b'[{"ts": "1704103200.1", "text": "\xff\xfe"}]',
    "UTF-16": '[{"ts": "1"}]'.encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf[]",
    "half a surrogate": '[{"ts": "1704103200.1", "user": "U1", "text": "\\ud800"}]',
    "U+0000": '[{"ts": "1704103200.1", "user": "U\\u0000", "text": "\\u0000"}]',
    "many duplicate keys": "[{" + '"ts": "1704103200.1",' * 10_000 + '"text": "x"}]',
    "many keys": "[{" + ",".join(f'"k{n}": 1' for n in range(50_000)) + "}]",
    "commas": "[" + "," * 100_000 + "]",
    "braces in texts": json.dumps([{"ts": "1704103200.1", "text": "},{" * 50_000}]),
    "marks of the converter": json.dumps(
        [{"ts": "1704103200.1", "text": "\ufdd00\ufdd1 `x` \ufdd01\ufdd1"}]
    ),
    "white space": " " * MIB + "[]" + "\n" * MIB,
    "a value after the end": "[] []",
}


@pytest.mark.parametrize("name", JSON_TEXTS)
def test_success_json(name: str, tmp_path: Path) -> None:
    tree = {**SLACK, DAY: JSON_TEXTS[name], "general/2024-01-02.json": SLACK[DAY]}
    converted = convert("slack", write_tree(tmp_path / "x", tree), tmp_path / "out")
    assert "hello" in converted.bodies("general")


@pytest.mark.parametrize("name", JSON_TEXTS)
def test_success_json_of_other_systems(name: str, tmp_path: Path) -> None:
    raw = JSON_TEXTS[name]
    data = raw if isinstance(raw, bytes) else raw.encode()
    lines = make_mattermost_lines(make_post(0, "hello")).encode() + data.replace(b"\n", b" ")
    source = write_tree(tmp_path / "mm", {"x.jsonl": lines})
    assert convert("mattermost", source, tmp_path / "1").bodies("Square") == ["hello"]
    good = json.dumps(make_discord_file(make_discord_message(0, "hello"))).encode()
    tree = {"good.json": good, "bad.json": good.replace(b'"messages": [', b'"messages": ' + data)}
    converted = convert("discord", write_tree(tmp_path / "dc", tree), tmp_path / "2")
    assert "hello" in converted.bodies("general")


TEXTS = (
    "*" * 5000, "_" * 5000, "`" * 5001, "~" * 5000, "```" * 3000, "<" * 5000, "<@" * 3000,
    "[" * 5000, "[a](" * 2000, "&gt;" * 3000, ">>> " * 2000, "> " * 5000, "\\" * 5000, "||" * 3000,
    "<!date^" * 1000, ":" * 5000, ":a" * 3000, "*a_b~" * 2000, "<a|" * 2000 + ">" * 2000,
    "\n" * 5000,
    "`a``b```" * 1000, "__" * 3001, "*a* " * 3000, "# " * 3000, "<:a:1" * 2000,
)  # fmt: skip


@pytest.mark.parametrize("text", TEXTS, ids=[text[:8] for text in TEXTS])
def test_success_texts(text: str, tmp_path: Path) -> None:
    """Each dialect takes time in proportion to the length: these would take hours otherwise."""
    long = text * 20
    slack = make_slack_tree(make_slack_message(0, long))
    assert_converts("slack", write_tree(tmp_path / "a", slack), tmp_path / "1")
    lines = make_mattermost_lines(make_post(0, long))
    assert_converts("mattermost", write_tree(tmp_path / "b", {"x.jsonl": lines}), tmp_path / "2")
    tree = {"x.json": make_discord_file(make_discord_message(0, long))}
    assert_converts("discord", write_tree(tmp_path / "c", tree), tmp_path / "3")


def assert_no_secret(converted: Converted) -> None:
    for content in converted.files().values():
        assert SECRET not in content


def test_success_links_in_a_directory(tmp_path: Path) -> None:
    """Files, directories and attachments that lead out of the export."""
    outside = write_tree(tmp_path / "outside", {"secret.json": SECRET, "F99999/f.txt": SECRET})
    message = make_slack_message(0, "hello", files=[{"id": "F99999", "name": "f.txt"}])
    source = write_tree(tmp_path / "x", make_slack_tree(message))
    (source / "general" / "2024-01-02.json").symlink_to(outside / "secret.json")
    (source / "linked").symlink_to(outside)
    (source / "__uploads").symlink_to(outside)
    os.mkfifo(source / "general" / "2024-01-03.json")
    converted = convert("slack", source, tmp_path / "out")
    assert_no_secret(converted)
    assert converted.losses() == {"link or special file": 2, "file that is not in the export": 1}


def test_success_names_that_are_not_utf_8(tmp_path: Path) -> None:
    source = write_tree(tmp_path / os.fsdecode(b"x\xff"), SLACK)
    (source / "general" / os.fsdecode(b"2024-01-02\xfe.json")).write_text("[]")
    converted = convert("slack", source, tmp_path / "1", workspace="a\udcff")
    assert converted.losses() == {"file whose name is not UTF-8": 1}
    assert converted.manifest("general")["source"]["file"] == "x?"
    lines = tmp_path / os.fsdecode(b"\xff.jsonl")
    lines.write_text(make_mattermost_lines(make_post(0, "x")))
    assert convert("mattermost", lines, tmp_path / "2").bodies("Square") == ["x"]


def test_success_paths_of_attachments(tmp_path: Path) -> None:
    write_tree(tmp_path, {"secret.txt": SECRET})
    paths = [
        "../secret.txt",
        str(tmp_path / "secret.txt"),
        "data/../../secret.txt",
        "..\\secret.txt",
    ]
    posts = [make_post(n, "x", attachments=[{"path": path}]) for n, path in enumerate(paths)]
    source = write_tree(tmp_path / "mm", {"x.jsonl": make_mattermost_lines(*posts)})
    converted = convert("mattermost", source, tmp_path / "1")
    assert_no_secret(converted)
    assert converted.losses() == {"file that is not in the export": len(paths)}
    files = [{"id": str(n), "url": path, "fileName": "f"} for n, path in enumerate(paths)]
    tree = {"x.json": make_discord_file(make_discord_message(0, attachments=files))}
    converted = convert("discord", write_tree(tmp_path / "dc", tree), tmp_path / "2")
    assert_no_secret(converted)


NAMES = (
    "../../evil",
    "/etc/passwd",
    "a\0b",
    "x" * 5000,
    "\u202egpj",
    "CON",
    "..",
    ".",
    "",
    "a/b\\c",
)


@pytest.mark.parametrize("name", NAMES)
def test_success_names_of_rooms_and_files(name: str, tmp_path: Path) -> None:
    tree = {
        "channels.json": [{"id": "C1", "name": name}],
        "C1/2024-01-01.json": [make_slack_message(0, files=[{"id": "F12345", "name": name}])],
        "__uploads/F12345/x": "bytes",
    }
    converted = convert("slack", write_zip(tmp_path / "x.zip", tree), tmp_path / "out")
    (room,) = converted.rooms
    assert (converted.directory / room.file).resolve().parent == converted.directory.resolve()
    assert {path.name for path in tmp_path.iterdir()} <= {"x.zip", "out", "home"}
    with zipfile.ZipFile(converted.directory / room.file) as archive:
        (entry,) = (each for each in archive.namelist() if each.startswith("media/"))
        assert archive.read(entry) == b"bytes"


@pytest.mark.parametrize(
    "person", ["x:chat.example.com", "@admin:localhost", "\0", "a b", "é", "="]
)
def test_success_people_never_claim_another_server(person: str, tmp_path: Path) -> None:
    converted = convert(
        "slack",
        write_tree(tmp_path / "x", make_slack_tree(make_slack_message(0, "x", user=person))),
        tmp_path / "out",
    )
    (sender,) = converted.manifest("general")["senders"].values()
    local, _, server = sender["fqid"].partition(":")
    assert server == "t1.slack"
    assert ":" not in local


def test_success_huge_counts(tmp_path: Path) -> None:
    reactions = [{"name": "tada", "users": ["U1"], "count": 10**15}] * 3
    message = make_slack_message(0, "x", reactions=reactions)
    converted = convert(
        "slack", write_tree(tmp_path / "x", make_slack_tree(message)), tmp_path / "1"
    )
    assert len(converted.events("general")) == 2
    reactions = [{"emoji": {"name": "x"}, "count": 2**80, "users": []}]
    tree = {"x.json": make_discord_file(make_discord_message(0, reactions=reactions))}
    convert("discord", write_tree(tmp_path / "dc", tree), tmp_path / "2")


@pytest.mark.parametrize("stamp", [0, -1, 2**31, 2**53, 2**63, 10**30, 1e300, True, None, "x", []])
def test_success_times(stamp: Any, tmp_path: Path) -> None:
    reply = {"user": "ben", "message": "re", "create_at": stamp}
    post = make_post(0, "x", create_at=stamp, edit_at=stamp, replies=[reply], delete_at=stamp)
    source = write_tree(tmp_path / "mm", {"x.jsonl": make_mattermost_lines(post)})
    assert_converts("mattermost", source, tmp_path / "1")
    message = make_discord_message(0, "x", id=str(stamp), timestamp=stamp, timestampEdited=stamp)
    tree = {"x.json": make_discord_file(message, dates={"after": stamp, "before": stamp})}
    assert_converts("discord", write_tree(tmp_path / "dc", tree), tmp_path / "2")
    tree = make_slack_tree(make_slack_message(0, "x", thread_ts=stamp, edited={"ts": stamp}))
    assert_converts("slack", write_tree(tmp_path / "sl", tree), tmp_path / "3")


def test_success_largest_contents(tmp_path: Path) -> None:
    """Every part at its limit, in characters of four bytes: still below 64 KiB."""
    users = [{"id": f"U{n}", "name": f"{n}"} for n in range(300)]
    mentions = " ".join(f"<@U{n}>" for n in range(300))
    files = [
        {
            "id": "𝒇" * 200,
            "name": "𝒏" * 400,
            "size": 2**52,
            "url_private": "https://a/" + "𝒖" * 2000,
        }
        for _ in range(50)
    ]
    text = '𝒙"\\\x01' * 20_000
    message = make_slack_message(0, f"{mentions} {text}", files=files, thread_ts="9" * 400)
    tree = {**make_slack_tree(message), "users.json": users}
    converted = convert("slack", write_tree(tmp_path / "x", tree), tmp_path / "out")
    assert all(len(json.dumps(e["content"], ensure_ascii=False).encode()) < 65_536
               for e in converted.events("general"))  # fmt: skip


def test_success_many_events_of_one_stamp(tmp_path: Path) -> None:
    posts = [make_post(0, str(number)) for number in range(3000)]
    source = write_tree(tmp_path / "mm", {"x.jsonl": make_mattermost_lines(*posts)})
    converted = convert("mattermost", source, tmp_path / "out")
    assert len({event["id"] for event in converted.events("Square")}) == 3000


def test_success_ids_that_repeat(tmp_path: Path) -> None:
    """A message with the ID of another one is merged into it, also of another author."""
    rows = [{"id": str(FIRST_ID), "timestamp": "2024-01-01T00:00:00Z", "content": f"{n}",
             "author": {"id": f"{n}", "name": "x"}} for n in range(3)]  # fmt: skip
    tree = {"x.json": make_discord_file(*rows)}
    converted = convert("discord", write_tree(tmp_path / "dc", tree), tmp_path / "out")
    assert len(converted.events("general")) == 1
    assert converted.result.figures["totals"]["messages"]["merged"] == 2


@pytest.mark.parametrize(("limit", "pending"), [(3, None), (40, None), (3, 10_000), (40, 10_000)])
def test_fail_full_disk(
    limit: int, pending: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No bundle is left that looks whole."""
    if pending:
        monkeypatch.setattr(spool, "_MAX_PENDING_BYTES", pending)
    messages = [make_slack_message(n, "x" * 5000) for n in range(200)]
    for message in messages:
        message["text"] = os.urandom(2500).hex()
    source = write_tree(tmp_path / "x", make_slack_tree(*messages))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit * 1024, before[1]))
    try:
        with pytest.raises(ScaiWaveError) as caught:
            convert("slack", source, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.code in ("SW_DISK_FULL", "SW_FILE_UNWRITABLE")
    assert list((tmp_path / "out").iterdir()) == []
