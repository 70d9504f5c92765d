from __future__ import annotations

import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from identity_sync.errors import ValueUnwritable
from identity_sync.registration.env_file import check_writable, update_env_file
from scaiwave.config.configuration import read_env_file
from scaiwave.core.errors import DiskFull, FileUnwritable
from tests.identity_sync.registration.helpers import file_size_limit
from tests.refusals import refuses
from tests.tools import count_examples

NAMES = st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,12}\Z")
TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]))
TRICKY = st.text(st.sampled_from("'\"\\$`#= !ant&;|()é"))
VALUES = TEXTS | TRICKY
ROOT = os.geteuid() == 0
OTHER_USER = 65534


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@given(values=st.dictionaries(NAMES, VALUES, max_size=5), others=st.dictionaries(NAMES, TEXTS))
def test_success_written_values_are_read_back(
    values: dict[str, str], others: dict[str, str]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, ".env")
        update_env_file(path, others)
        update_env_file(path, values)
        assert read_env_file(path) == {**others, **values}


@hypothesis_settings(max_examples=count_examples(40))
@given(value=VALUES)
def test_success_written_values_are_read_back_by_a_shell(value: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "env")
        update_env_file(path, {"VALUE": value})
        script = f'. {path}; printf "%s" "$VALUE"'
        completed = subprocess.run(["sh", "-c", script], capture_output=True, check=True)
        assert completed.stdout.decode() == value


def test_success_other_lines_stay(env_file: Path) -> None:
    env_file.write_text("# first\nA=1\n\nexport SECRET='old'\nB=2\nSECRET=older\n#SECRET=x\nC=3")
    update_env_file(env_file, {"SECRET": "new one", "D": "4"})
    assert env_file.read_text() == (
        "# first\nA=1\n\nexport SECRET='new one'\nB=2\n#SECRET=x\nC=3\nD=4\n"
    )


def test_success_line_endings_stay(env_file: Path) -> None:
    env_file.write_bytes(b"A=1\r\nSECRET=old\r\n")
    update_env_file(env_file, {"SECRET": "new", "D": "4"})
    assert env_file.read_bytes() == b"A=1\r\nSECRET=new\r\nD=4\r\n"


def test_success_new_file_is_private(env_file: Path) -> None:
    before = os.umask(0)
    try:
        update_env_file(env_file, {"A": "1"})
    finally:
        os.umask(before)
    assert mode(env_file) == 0o600
    assert [path.name for path in env_file.parent.iterdir() if path.is_file()] == [".env"]


def test_success_open_file_becomes_private(env_file: Path) -> None:
    env_file.write_text("A=1\n")
    env_file.chmod(0o644)
    update_env_file(env_file, {"A": "2"})
    assert mode(env_file) == 0o600


@pytest.mark.skipif(not ROOT, reason="only root can give files away")
def test_success_owner_stays(env_file: Path) -> None:
    env_file.write_text("A=1\n")
    os.chown(env_file, OTHER_USER, OTHER_USER)
    update_env_file(env_file, {"A": "2"})
    assert (env_file.stat().st_uid, env_file.stat().st_gid) == (OTHER_USER, OTHER_USER)


@pytest.mark.skipif(not ROOT, reason="only root can give files away")
def test_success_new_file_of_root_belongs_to_the_owner_of_the_directory(env_file: Path) -> None:
    os.chown(env_file.parent, OTHER_USER, OTHER_USER)
    update_env_file(env_file, {"A": "1"})
    assert env_file.stat().st_uid == OTHER_USER


def test_success_link_is_followed(tmp_path: Path, env_file: Path) -> None:
    directory = tmp_path / "shared"
    directory.mkdir()
    target = directory / "real.env"
    target.write_text("A=1\n")
    env_file.symlink_to(target)
    update_env_file(env_file, {"A": "2"})
    assert env_file.is_symlink()
    assert target.read_text() == "A=2\n"


def test_success_target_of_a_dangling_link_is_created(tmp_path: Path, env_file: Path) -> None:
    env_file.symlink_to("real.env")
    update_env_file(env_file, {"A": "1"})
    assert env_file.is_symlink()
    assert (tmp_path / "real.env").read_text() == "A=1\n"


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "\0", "tab\t", "\x85", "\u2028", "\ud800", "\x1b"])
def test_fail_value_that_does_not_fit_into_a_line(env_file: Path, bad: str) -> None:
    env_file.write_text("A=1\n")
    with refuses(
        ValueUnwritable,
        "The value of SECRET contains a line break or a control character.",
        "Correct the value at its source, or set SECRET in the environment.",
    ):
        update_env_file(env_file, {"SECRET": bad})
    assert env_file.read_text() == "A=1\n"


def test_fail_directory_or_pipe_in_its_place(env_file: Path) -> None:
    env_file.mkdir()
    with pytest.raises(FileUnwritable) as caught:
        update_env_file(env_file, {"A": "1"})
    assert caught.value.message == f"{env_file} can't be written: it is not a regular file."
    assert caught.value.fix == "Move it out of the way, or name another file."
    env_file.rmdir()
    os.mkfifo(env_file)
    with pytest.raises(FileUnwritable):
        update_env_file(env_file, {"A": "1"})


def test_fail_no_directory(tmp_path: Path) -> None:
    path = tmp_path / "missing" / ".env"
    with pytest.raises(FileUnwritable) as caught:
        update_env_file(path, {"A": "1"})
    assert caught.value.message == f"{path} can't be written: No such file or directory."
    assert caught.value.fix == f"Create the directory {path.parent}, or name another file."


def test_fail_not_utf8(env_file: Path) -> None:
    env_file.write_bytes(b"A=\xff\n")
    with refuses(FileUnwritable, f"{env_file} can't be read: it is not UTF-8."):
        update_env_file(env_file, {"A": "1"})
    assert env_file.read_bytes() == b"A=\xff\n"


@pytest.mark.parametrize("act", [lambda path: update_env_file(path, {"A": "2"}), check_writable])
def test_fail_disk_full(env_file: Path, act: object) -> None:
    env_file.write_text("A=1\n")
    with pytest.raises(DiskFull) as caught, file_size_limit(0):
        act(env_file)  # type: ignore[operator]
    assert caught.value.message == f"{env_file} can't be written: File too large."
    assert env_file.read_text() == "A=1\n"
    assert [path.name for path in env_file.parent.glob(".env*")] == [".env"]


AS_OTHER_USER = """
import os, sys
from pathlib import Path
from identity_sync.registration.env_file import update_env_file
from scaiwave.core.errors import ScaiWaveError
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    update_env_file(Path(sys.argv[1]), {"A": "2"})
except ScaiWaveError as error:
    print(error.message, error.fix)
"""


def test_fail_directory_is_read_only() -> None:
    directory = Path(tempfile.mkdtemp())
    path = directory / ".env"
    path.write_text("A=1\n")
    path.chmod(0o644)
    directory.chmod(0o555)
    try:
        completed = subprocess.run(
            [sys.executable, "-c", AS_OTHER_USER, str(path)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert completed.stdout == (
            f"{path} can't be written: Permission denied. "
            f"Make the directory {directory} and the file writable for this user.\n"
        )
        assert path.read_text() == "A=1\n"
    finally:
        directory.chmod(0o755)
        shutil.rmtree(directory)


WRITING_ON_AND_ON = """
import itertools, sys
from pathlib import Path
from identity_sync.registration.env_file import update_env_file
print("ready", flush=True)
for number in itertools.count():
    update_env_file(Path(sys.argv[1]), {"SECRET": str(number % 10) * 3000})
"""


def test_fail_killed_at_any_moment_leaves_a_whole_file(env_file: Path) -> None:
    env_file.write_text("# kept\nSECRET=" + "0" * 3000 + "\nB=2\n")
    env_file.chmod(0o600)
    chance = random.Random(7)
    for _ in range(8):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITING_ON_AND_ON, str(env_file)], stdout=subprocess.PIPE
        )
        with writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(chance.uniform(0.001, 0.03))
            writer.send_signal(signal.SIGKILL)
        first, secret, last = env_file.read_text().splitlines()
        assert (first, last) == ("# kept", "B=2")
        assert secret == "SECRET=" + secret[-1] * 3000
        assert mode(env_file) == 0o600
    update_env_file(env_file, {"SECRET": "x"})
    # The drafts of the killed processes were removed.
    assert [path.name for path in env_file.parent.glob(".env*")] == [".env"]


def test_success_check_leaves_no_files(env_file: Path) -> None:
    env_file.write_text("A=1\n")
    check_writable(env_file)
    assert env_file.read_text() == "A=1\n"
    assert [path.name for path in env_file.parent.glob(".env*")] == [".env"]
