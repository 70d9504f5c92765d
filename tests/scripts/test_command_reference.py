from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scaiwave.cli.verbs import VERBS, canonical_path
from scaiwave.config.configuration import read_env_file
from scaiwave.config.definitions import SETTINGS

TOP = Path(__file__).resolve().parents[2]
PAGES = (
    "docs/reference/command-reference.md",
    "docs/reference/configuration.md",
    "docs/reference/troubleshooting.md",
    ".env.example",
)

pytestmark = pytest.mark.once


def run_script(top: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "scripts/command_reference.py", *options],
        cwd=top,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the checkout whose pages may be changed."""
    apps = ("scaiwave", "tenants", "federation", "rooms", "identity_sync", "scripts")
    for name in apps:
        shutil.copytree(TOP / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(TOP / "docs", tmp_path / "docs")
    for page in PAGES:
        shutil.copy(TOP / page, tmp_path / page)
    return tmp_path


def test_success_pages_are_fresh() -> None:
    process = run_script(TOP, "--check")
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")


def test_fail_stale_until_written(copy: Path) -> None:
    for page in PAGES:
        with (copy / page).open("a") as file:
            file.write("more\n")
    process = run_script(copy, "--check")
    assert process.returncode == 1
    assert sorted(process.stdout.splitlines()) == sorted(
        f"{page} is stale; run scripts/command_reference.py." for page in PAGES
    )
    assert sorted(run_script(copy).stdout.split()) == sorted(PAGES)
    for page in PAGES:
        assert (copy / page).read_bytes() == (TOP / page).read_bytes()
    assert run_script(copy, "--check").returncode == 0


def test_success_every_command_has_a_section() -> None:
    page = (TOP / "docs/reference/command-reference.md").read_text(encoding="utf-8")
    for words in VERBS:
        if canonical_path(words):
            assert f"`scaiwave {' '.join(words)}` is the same." in page
        else:
            assert f"\n## scaiwave {' '.join(words)}\n" in page


def test_success_env_example_sets_nothing_and_names_everything(tmp_path: Path) -> None:
    example = TOP / ".env.example"
    assert read_env_file(example) == {}
    lines = example.read_text(encoding="utf-8").splitlines()
    uncommented = tmp_path / "env"
    uncommented.write_text("\n".join(line[1:] for line in lines if line.startswith("#SCAIWAVE_")))
    assert read_env_file(uncommented) == {setting.name: setting.default for setting in SETTINGS}
