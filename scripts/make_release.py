"""Make a release, or only build one: see `scripts/release`."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parent.parent
DIST = "dist"
CHANGELOG = "docs/CHANGELOG.md"
UNRELEASED = "## Unreleased\n"
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
UNRELEASED_SUFFIX = ".dev0"
"""Ends the version between two releases, so that a wheel of such a checkout has its own version."""
REQUIREMENTS = ("runtime", "web", "s3")
"""The locks of the packages that a server runs, which the SBOM lists together."""
# The files that contain the version, and the line with it.
VERSION_LINES = {
    "pyproject.toml": 'version = "{}"\n',
    "scaiwave/__init__.py": '__version__ = "{}"\n',
}


class ReleaseError(Exception):
    """A step that failed: what happened, and how to fix it."""

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(f"{problem}\n{fix}")


def main(arguments: list[str]) -> int:
    options = _build_parser().parse_args(arguments)
    try:
        if options.build:
            archives = build(options.build.resolve())
        else:
            archives = release(options.version, runs_tests=not options.without_tests)
    except ReleaseError as error:
        print(error, file=sys.stderr)
        return 1
    print(*archives, sep="\n")
    return 0


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/release", allow_abbrev=False)
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("version", nargs="?", help="new version, such as 0.2.0")
    choice.add_argument("--build", type=Path, metavar="DIRECTORY", help="only build into DIRECTORY")
    parser.add_argument("--without-tests", action="store_true", help="no checks and no tests")
    return parser


def release(version: str, *, runs_tests: bool) -> list[Path]:
    """Commit, tag and build a version, and begin the next one.

    Raises `ReleaseError`; then the checkout is as before.
    """
    _require_version(version)
    if _run_git("status", "--porcelain"):
        raise ReleaseError("The checkout has changes.", "Commit them, or stash them.")
    if _run_git("tag", "--list", f"v{version}"):
        raise ReleaseError(f"The tag v{version} exists.", "Choose another version.")
    before = _run_git("rev-parse", "HEAD")
    with _undone_on_failure(before, f"v{version}"):
        _write_version_lines(version)
        _date_changelog(version)
        if runs_tests:
            _run("scripts/check")
            _run("scripts/test", "--all")
            _run("scripts/test", "tests/deploy/test_container.py", SCAIWAVE_TEST_NIGHTLY="1")
        _run_git("commit", "--quiet", "--all", "--message", f"Release {version}")
        _run_git("tag", "--annotate", f"v{version}", "--message", f"Version {version}")
        archives = build(TOP / DIST)
        major, minor, _ = _parse(version)
        following = f"{major}.{minor + 1}.0{UNRELEASED_SUFFIX}"
        _write_version_lines(following)
        _run_git("commit", "--quiet", "--all", "--message", f"Begin {following}")
        return archives


def _require_version(version: str) -> None:
    if not VERSION.fullmatch(version):
        raise ReleaseError(f"Invalid version: {version}.", "Use three numbers, such as 0.2.0.")
    current = _get_version()
    lowest, unreleased, _ = current.partition(UNRELEASED_SUFFIX)
    if _parse(version) < _parse(lowest) or (version == lowest and not unreleased):
        raise ReleaseError(f"{version} is not higher than {current}.", "Use a higher version.")


def _parse(version: str) -> tuple[int, int, int]:
    major, minor, patch = map(int, version.split("."))
    return major, minor, patch


def _get_version() -> str:
    """Return the version of the checkout. Raises `ReleaseError` if its files disagree."""
    found = {}
    for name, line in VERSION_LINES.items():
        before, after = map(re.escape, line.split("{}"))
        text = (TOP / name).read_text(encoding="utf-8")
        match = re.search(
            f"^{before}({VERSION.pattern}({re.escape(UNRELEASED_SUFFIX)})?){after}",
            text,
            re.MULTILINE,
        )
        if match is None:
            raise ReleaseError(f"{name} has no version.", f"Restore the line {line.strip()!r}.")
        found[name] = match[1]
    if len(set(found.values())) > 1:
        raise ReleaseError(f"The files have different versions: {found}.", "Make them equal.")
    return next(iter(found.values()))


def _write_version_lines(version: str) -> None:
    current = _get_version()
    for name, line in VERSION_LINES.items():
        _replace_once(TOP / name, line.format(current), line.format(version))


def _date_changelog(version: str) -> None:
    changelog = TOP / CHANGELOG
    text = changelog.read_text(encoding="utf-8")
    changes = text.partition(UNRELEASED)[2].partition("\n## ")[0]
    if not changes.strip():
        raise ReleaseError(
            f"{CHANGELOG} has nothing under Unreleased.", "Describe the changes there."
        )
    today = datetime.now(UTC)
    _replace_once(changelog, UNRELEASED, f"{UNRELEASED}\n## {version} ({today:%Y-%m-%d})\n")


def _replace_once(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise ReleaseError(f"{path.name} has not exactly one {old.strip()!r}.", "Correct the file.")
    path.write_text(text.replace(old, new), encoding="utf-8")


@contextmanager
def _undone_on_failure(commit: str, tag: str) -> Iterator[None]:
    """Reset the checkout to `commit` and delete the tag if a step fails or is interrupted."""
    try:
        yield
    except BaseException:
        if _run_git("tag", "--list", tag):
            _run_git("tag", "--delete", tag)
        _run_git("reset", "--quiet", "--hard", commit)
        raise


def build(directory: Path) -> list[Path]:
    """Build wheel, sdist and SBOM of the last commit twice, and return them in `directory`.

    SHA256SUMS is the last of them. All times in the archives are the time of the commit. Raises
    `ReleaseError` if the builds differ.
    """
    directory.mkdir(parents=True, exist_ok=True)
    epoch = _run_git("log", "-1", "--format=%ct")
    with tempfile.TemporaryDirectory(prefix="scaiwave-release-") as scratch:
        first, second = (_build_once(Path(scratch) / name, epoch) for name in ("1", "2"))
        if first != second:
            raise ReleaseError(
                "Two builds of the same commit differ.", "Compare them, for example by diffoscope."
            )
    lines = [f"{sha256(data).hexdigest()}  {name}\n" for name, data in sorted(first.items())]
    files = {**first, "SHA256SUMS": "".join(lines).encode()}
    for name, data in files.items():
        (directory / name).write_bytes(data)
    return [directory / name for name in files]


def _build_once(scratch: Path, epoch: str) -> dict[str, bytes]:
    """Build from a clone, which has no files that git ignores. Return the archives by name."""
    source, archives = scratch / "source", scratch / "archives"
    _run("git", "clone", "--quiet", "--no-hardlinks", str(TOP), str(source))
    _run(
        *(sys.executable, "-m", "hatchling", "build", "-d", str(archives)),
        cwd=source,
        SOURCE_DATE_EPOCH=epoch,
        TMPDIR=str(scratch),  # where a build that fails leaves a part of the wheel
    )
    (wheel,) = archives.glob("*.whl")
    pins: dict[str, str] = {}
    for name in REQUIREMENTS:
        lock = (source / f"scripts/requirements/{name}.txt").read_text(encoding="utf-8")
        pins |= {pin.split()[0]: pin for pin in re.split(r"\n(?=\w)", lock.rstrip())}
    requirements = scratch / "requirements.txt"
    requirements.write_text("\n".join(pins[name] for name in sorted(pins)), encoding="utf-8")
    project = ("--pyproject", str(source / "pyproject.toml"))
    components = _list_components("requirements", str(requirements), *project)
    # Requirements have no licences, but the packages that are installed here have.
    installed = _list_components("environment", sys.executable)["components"]
    licences = {_normalise(each["name"]): each.get("licenses", []) for each in installed}
    for each in components["components"]:
        each["licenses"] = licences.get(_normalise(each["name"]), [])
    name = f"{wheel.name.partition('-py3-')[0]}.cdx.json"
    (archives / name).write_text(f"{json.dumps(components, indent=2)}\n", encoding="utf-8")
    return {path.name: path.read_bytes() for path in sorted(archives.iterdir())}


def _normalise(name: str) -> str:
    """Return the name of a package as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _list_components(*words: str) -> dict[str, Any]:
    """Return a document of CycloneDX."""
    printed = _run(
        *(sys.executable, "-m", "cyclonedx_py", *words),
        *("--output-reproducible", "--output-file", "-"),
        captured=True,
    )
    document: dict[str, Any] = json.loads(printed)
    return document


def _run_git(*words: str) -> str:
    return _run("git", *words, captured=True).strip()


def _run(*command: str, cwd: Path = TOP, captured: bool = False, **environment: str) -> str:
    """Run a program, and return its output if that is captured. Raises `ReleaseError`."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if captured else sys.stderr,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ReleaseError(
            f"`{' '.join(command)}` ended with {done.returncode}.", "See its messages above."
        )
    return done.stdout or ""


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
