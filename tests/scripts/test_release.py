"""Make releases of a clone of this checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from scaiwave import __version__
from tests.scaiwave.cli_helpers import CHECKOUT
from tests.tools import NIGHTLY

pytestmark = [pytest.mark.ci, pytest.mark.once, pytest.mark.fresh_interpreter]
IDENTITY = {
    f"GIT_{person}_{part}": "release-test"
    for person in ("AUTHOR", "COMMITTER")
    for part in ("NAME", "EMAIL")
}
CHANGES = """# Changelog

## Unreleased

### Added

- A release.

## See also
"""


@dataclass(frozen=True)
class Clone:
    """A repository with this checkout's files, as they are now, in one commit."""

    directory: Path

    def git(self, *words: str) -> str:
        done = subprocess.run(
            ["git", *words],
            cwd=self.directory,
            env={**os.environ, **IDENTITY},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def release(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "scripts.make_release", *words],
            cwd=self.directory,
            env={**os.environ, **IDENTITY},
            capture_output=True,
            text=True,
            check=False,
        )

    def commit(self, name: str, change: Callable[[str], str]) -> None:
        path = self.directory / name
        path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
        self.git("commit", "--quiet", "--all", "--message", "Change")


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """The clone of which each test gets a copy."""
    tmp_path = tmp_path_factory.mktemp("release")
    clone = Clone(tmp_path / "clone")
    clone.directory.mkdir()
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=CHECKOUT, capture_output=True, check=True).stdout
    existing = [name for name in names.decode().split("\0") if name and (CHECKOUT / name).is_file()]
    subprocess.run(
        ["tar", "-cf", tmp_path / "files.tar", "--null", "-T", "-"],
        cwd=CHECKOUT,
        input="\0".join(existing).encode(),
        check=True,
    )
    subprocess.run(["tar", "-xf", tmp_path / "files.tar"], cwd=clone.directory, check=True)
    clone.git("init", "--quiet", "--initial-branch=main")
    (clone.directory / "docs/CHANGELOG.md").write_text(CHANGES, encoding="utf-8")
    clone.git("add", "--all")
    clone.git("commit", "--quiet", "--message", "Everything")
    return clone


@pytest.fixture
def clone(everything: Clone, tmp_path: Path) -> Clone:
    everything.git("clone", "--quiet", str(everything.directory), str(tmp_path / "clone"))
    return Clone(tmp_path / "clone")


def test_success_one_step_whose_files_anyone_can_build(clone: Clone, tmp_path: Path) -> None:
    """The step itself builds them twice. At night someone else does, too."""
    done = clone.release("9.8.7", "--without-tests")
    assert done.returncode == 0, done.stderr
    assert clone.git("status", "--porcelain") == ""
    assert clone.git("describe", "HEAD~1") == "v9.8.7"
    assert clone.git("log", "-2", "--format=%s") == "Begin 9.9.0.dev0\nRelease 9.8.7"
    changelog = (clone.directory / "docs/CHANGELOG.md").read_text(encoding="utf-8")
    assert "## Unreleased\n\n## 9.8.7 (20" in changelog
    dist = clone.directory / "dist"
    wheel, source = dist / "scaiwave-9.8.7-py3-none-any.whl", dist / "scaiwave-9.8.7.tar.gz"
    components, sums = dist / "scaiwave-9.8.7.cdx.json", dist / "SHA256SUMS"
    assert set(map(Path, done.stdout.splitlines())) == {wheel, source, components, sums}
    check = ["sha256sum", "--check", "--strict", sums.name]
    checked = subprocess.run(check, cwd=dist, capture_output=True, text=True, check=True)
    assert len(checked.stdout.splitlines()) == 3
    with zipfile.ZipFile(wheel) as archive:
        assert '__version__ = "9.8.7"' in archive.read("scaiwave/__init__.py").decode()
        for name in ("runtime", "web", "s3"):
            lock = (CHECKOUT / f"scripts/requirements/{name}.txt").read_bytes()
            assert archive.read(f"scaiwave/requirements/{name}.txt") == lock
    document = json.loads(components.read_bytes())
    assert document["bomFormat"] == "CycloneDX"
    assert document["metadata"]["component"]["version"] == "9.8.7"
    listed = [component["name"] for component in document["components"]]
    assert {"django", "gunicorn", "boto3"} <= set(listed)
    unlicensed = {each["name"] for each in document["components"] if not each.get("licenses")}
    assert unlicensed <= {"async-timeout"}  # Only Python 3.11.0 to 3.11.2 has it.
    # Python 3.11 has an older Django.
    assert {name for name in listed if listed.count(name) > 1} == {"django"}
    with tarfile.open(source) as tar:
        assert "scaiwave-9.8.7/pyproject.toml" in tar.getnames()
    if NIGHTLY:
        assert_anyone_builds(clone, tmp_path)


def assert_anyone_builds(clone: Clone, tmp_path: Path) -> None:
    """In another directory, later, and with other files that git ignores."""
    other, dist = Clone(tmp_path / "elsewhere"), clone.directory / "dist"
    clone.git("clone", "--quiet", "--branch=v9.8.7", str(clone.directory), str(other.directory))
    (other.directory / "scaiwave/.env").write_text("SECRET=1")
    again = tmp_path / "again"
    assert other.release("--build", str(again)).returncode == 0
    assert {path.name for path in again.iterdir()} == {path.name for path in dist.iterdir()}
    assert all(path.read_bytes() == (dist / path.name).read_bytes() for path in again.iterdir())


def test_fail_version(clone: Clone) -> None:
    refuses(clone, "0.0.9", "is not higher than")
    for version in (__version__, "1.0", "v1.0.0", "1.0.0rc1", "01.0.0"):
        refuses(clone, version, "Invalid version")


def test_fail_checkout_with_changes(clone: Clone) -> None:
    (clone.directory / "new.txt").write_text("new")
    refuses(clone, "9.8.7", "The checkout has changes.")


def test_fail_tag_exists(clone: Clone) -> None:
    clone.git("tag", "v9.8.7")
    refuses(clone, "9.8.7", "The tag v9.8.7 exists.")


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        ("docs/CHANGELOG.md", "### Added\n\n- A release.\n", "", "nothing under Unreleased"),
        ("scaiwave/__init__.py", __version__, "0.1.1", "different versions"),
    ],
)
def test_fail_contents(clone: Clone, file: str, old: str, new: str, problem: str) -> None:
    clone.commit(file, lambda text: text.replace(old, new))
    refuses(clone, "9.8.7", problem)


def test_fail_build_leaves_neither_commit_nor_tag_nor_file(
    clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    clone.commit(
        "pyproject.toml", lambda text: text.replace('"scripts/deploy" =', '"scripts/missing" =')
    )
    refuses(clone, "9.8.7", "ended with 1")
    assert list(temporary.iterdir()) == []


def refuses(clone: Clone, version: str, reason: str) -> None:
    """Assert that nothing has changed."""
    before = clone.git("rev-parse", "HEAD"), clone.git("status", "--porcelain"), clone.git("tag")
    done = clone.release(version, "--without-tests")
    assert done.returncode == 1
    assert reason in done.stderr
    after = clone.git("rev-parse", "HEAD"), clone.git("status", "--porcelain"), clone.git("tag")
    assert after == before
    assert not (clone.directory / "dist").exists() or not any((clone.directory / "dist").iterdir())
