"""Plans that were changed, that can't be read, and that can't be written."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pytest_django import Settings

from identity_sync.encoding import encode_removal
from identity_sync.errors import (
    SyncPlanInvalid,
    SyncPlanUnreadable,
)
from identity_sync.models import PendingRemoval, SyncRun
from identity_sync.sync.record import plan_file
from identity_sync.sync.record.plan_file import PlanHead, open_new_plan
from identity_sync.sync.record.plan_file import read_plan as read_reviewed
from scaiwave.core.errors import DiskFull, FileUnwritable
from scaiwave.sandbox import Sandbox
from tests.identity_sync.sync.helpers import (
    pick_two_people,
)
from tests.identity_sync.sync.record.plan_files import (
    apply,
    edit,
    make_plan,
    read_plan,
    sign,
)
from tests.tools import NIGHTLY

pytestmark = [
    pytest.mark.dated,
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=3, people=120, groups=9, scim=False),
]


TRIES = 2_000 if NIGHTLY else 150


REWRITE = """
import os, sys, time
path, offset, *texts = sys.argv[1:]
descriptor = os.open(path, os.O_WRONLY)
while os.getppid() == int(texts[2]):
    for text in texts[:2]:
        os.pwrite(descriptor, text.encode(), int(offset))
        time.sleep(0.0002)
"""


def test_fail_the_file_is_rewritten_in_a_loop(scaikey: Sandbox, path: Path) -> None:
    make_plan(path)
    plan = read_reviewed(path)
    reviewed = plan.head
    padding = ({"kind": "participants", "padding": "x" * 500} for _ in range(800))
    with open_new_plan(path) as file:
        plan_file.write_plan(file, path, reviewed, removals=(), changes=padding)
    offset = path.read_bytes().index(reviewed.digest.encode())
    texts = ["sha256:forged", reviewed.digest[:13], str(os.getpid())]
    command = [sys.executable, "-c", REWRITE, str(path), str(offset), *texts]
    valid = 0
    with subprocess.Popen(command) as process:
        try:
            for _ in range(TRIES):
                with suppress(SyncPlanInvalid):
                    plan = read_reviewed(path)
                    valid += 1
                    assert plan.head == reviewed
        finally:
            process.kill()
    assert 0 < valid < TRIES


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (edit(lambda data: b""), "is not a whole plan"),
        (edit(lambda data: b"{}"), "is not a whole plan"),
        (edit(lambda data: data[:-1]), "is not a whole plan"),
        (edit(lambda data: data[: len(data) // 2]), "is not a whole plan"),
        (edit(lambda data: data + b"\n"), "is not a whole plan"),
        (edit(lambda data: data.replace(b'"tenant": ', b'"tenant":  ', 1)), "was changed after"),
        (
            edit(lambda data: data.replace(b'"removals": [\n', b'"removals": [\n{},\n')),
            "was changed",
        ),
        (edit(lambda data: os.urandom(5000)), "is not a whole plan"),
        (edit(lambda data: b"[" * 100_000), "is not a whole plan"),
        (edit(lambda data: json.dumps(json.loads(data)).encode()), "is not a whole plan"),
    ],
)
def test_fail_damaged(
    synced: Sandbox, path: Path, damage: Callable[[Path], None], message: str
) -> None:
    synced.directory.remove_user(pick_two_people(synced)[0])
    make_plan(path)
    damage(path)
    runs = SyncRun.objects.count()
    with pytest.raises(SyncPlanInvalid, match=message) as caught:
        apply(path)
    assert (caught.value.code, caught.value.exit_code) == ("SW_SYNC_PLAN_INVALID", 1)
    assert SyncRun.objects.count() == runs


def make_head(path: Path) -> dict[str, Any]:
    """Make a plan, and return what it has besides its removals, changes and signature."""
    make_plan(path)
    rest = ("removals", "changes", "signature")
    return {name: value for name, value in read_plan(path).items() if name not in rest}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 1}, "was written by another release"),
        ({"format": "other"}, "was written by another release"),
        ({"server_name": "other.example.com"}, "is a plan for server other.example.com"),
        ({"scaikey_url": "https://other.example"}, "is a plan for the ScaiKey at https://other"),
        ({"run_id": "019aab53-0c1f-7000-8000-000000000001"}, "is a plan for another database"),
        ({"tenant_id": "019aab53-0c1f-7000-8000-000000000001"}, "is a plan for another database"),
        ({"losses": None}, "is not a plan"),
        ({"kinds": "x" * plan_file.MAX_LINE_BYTES}, "is not a plan"),
        ({str(number): "x" * 60_000 for number in range(20)}, "its head is too large"),
    ],
)
def test_fail_signed_but_not_for_here(
    scaikey: Sandbox, path: Path, changes: dict[str, Any], message: str
) -> None:
    head = make_head(path)
    sign(path, head | changes)
    with pytest.raises(SyncPlanInvalid, match=message):
        apply(path)


def test_fail_a_signed_plan_with_an_unreadable_removal(scaikey: Sandbox, path: Path) -> None:
    head = make_head(path)
    head["digest"] = "sha256:0"
    unknown = json.dumps({"kind": "x", "subject_id": head["run_id"], "subject": ""})
    for removal in ("{}", unknown, "[" * 50_000):
        sign(path, head, removals=f"{removal}\n")
        with pytest.raises(SyncPlanInvalid, match="a removal can't be read"):
            apply(path)


def test_fail_another_key(scaikey: Sandbox, path: Path, settings: Settings) -> None:
    make_plan(path)
    settings.SECRET_KEY = "another"
    with pytest.raises(SyncPlanInvalid, match="or by another server"):
        apply(path)


def test_fail_unreadable(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    special = "it is not a regular file"
    for path, reason in (
        (tmp_path / "missing", "it does not exist"),
        (tmp_path, special),
        (fifo, special),
        (Path("/dev/zero"), special),
        (Path("a\0b"), "the name is invalid"),
    ):
        with pytest.raises(SyncPlanUnreadable) as caught:
            apply(path)
        assert caught.value.message == f"{path} can't be read: {reason}."
        assert (caught.value.code, caught.value.exit_code) == ("SW_SYNC_PLAN_UNREADABLE", 2)
        named = shlex.quote(str(path.absolute()))
        assert caught.value.fix == (
            "Correct the path, run this as the user who wrote the plan, or write a new plan: "
            f"`scaiwave sync --plan {named}`."
        )


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that can't be read")
def test_fail_while_it_is_read() -> None:
    with pytest.raises(SyncPlanUnreadable, match=r"can't be read: Input/output error"):
        apply(Path("/proc/self/mem"))


def test_fail_too_large(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(plan_file.MAX_BYTES + 1)
    with pytest.raises(SyncPlanInvalid, match="too large"):
        apply(path)


def measure_peak(path: Path, head: PlanHead, number: int) -> int:
    """Return the peak memory for writing and reading a plan with this number of rows."""
    removals = (
        encode_removal(PendingRemoval(kind="participants", subject_id=UUID(int=key)), "acme")
        for key in range(number)
    )
    changes = ({"kind": "participants", "subject_id": UUID(int=key)} for key in range(number))
    tracemalloc.start()
    with open_new_plan(path) as file:
        plan_file.write_plan(file, path, head, removals=removals, changes=changes)
    plan = read_reviewed(path)
    assert sum(1 for _ in plan.iter_removals()) == number
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.once
def test_success_memory_does_not_grow_with_the_plan(scaikey: Sandbox, path: Path) -> None:
    make_plan(path)
    plan = read_reviewed(path)
    head = plan.head
    few, many = (
        measure_peak(path, head, number)
        for number in ((5_000, 50_000) if NIGHTLY else (1_500, 4_500))
    )
    assert many < few * 1.2


def test_success_drafts_of_killed_processes_are_removed(scaikey: Sandbox, tmp_path: Path) -> None:
    directory = tmp_path / "plans"
    directory.mkdir()
    path, other = directory / "plan.json", directory / ".notes.draft"
    other.write_text("a file of something else")

    def make_drafts() -> None:
        for name in ("plan.json", "plan of yesterday"):
            draft = directory / f".{name}.0123456789abcdef.draft"
            draft.write_text("names and e-mail addresses")
        os.mkfifo(
            directory / ".pipe.0123456789abcdef.draft"
        )  # Opening it must not wait for a writer.

    make_drafts()
    make_plan(path)
    assert sorted(directory.iterdir()) == [other, path]
    make_drafts()
    apply(path, dry_run=True)
    assert len(list(directory.iterdir())) == 5
    apply(path)
    assert sorted(directory.iterdir()) == [other, path]


def test_success_directory_that_can_not_be_listed(scaikey: Sandbox, tmp_path: Path) -> None:
    directory = tmp_path / "drop"
    directory.mkdir()
    directory.chmod(0o300)
    make_plan(directory / "plan.json")
    directory.chmod(0o700)
    assert [path.name for path in directory.iterdir()] == ["plan.json"]


@pytest.mark.parametrize(
    "name", ["a\nb", "a\x1b[31m", "a\tb", "a\x9bb", "a\u202eb", "a\u200bb", "a\udcff", "\x7f"]
)
def test_fail_name_that_can_not_be_printed(scaikey: Sandbox, path: Path, name: str) -> None:
    runs, before = SyncRun.objects.count(), sorted(path.parent.iterdir())
    for target in (path.with_name(name), path.parent / name / path.name):
        with pytest.raises(FileUnwritable, match="can't be printed") as caught:
            make_plan(target)
        assert caught.value.message.isprintable()
    assert sorted(path.parent.iterdir()) == before
    assert SyncRun.objects.count() == runs


def test_fail_places_a_plan_is_not_written_to(scaikey: Sandbox, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("mine")
    link = tmp_path / "link"
    link.symlink_to(target)
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "nowhere")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    runs = SyncRun.objects.count()
    for path in (link, dangling, fifo, tmp_path, tmp_path / "no directory" / "plan"):
        with pytest.raises(FileUnwritable) as caught:
            make_plan(path)
        assert caught.value.exit_code == 2
    with pytest.raises(FileUnwritable) as caught:
        make_plan(tmp_path / ("x" * 240))
    assert "shorter name" in caught.value.fix
    assert target.read_text() == "mine"
    assert link.is_symlink()
    assert not (tmp_path / "nowhere").exists()
    assert SyncRun.objects.count() == runs


def write_to_full_disk(path: Path) -> None:
    with Path("/dev/full").open("wb") as full, open_new_plan(path) as file:
        os.dup2(full.fileno(), file.fileno())
        file.write(b"x")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full device")
def test_fail_the_disk_is_full(path: Path) -> None:
    path.write_text("old")
    with pytest.raises(DiskFull):
        write_to_full_disk(path)
    assert path.read_text() == "old"
    assert list(path.parent.glob(".plan*")) == []
