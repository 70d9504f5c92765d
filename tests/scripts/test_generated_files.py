"""Every generated file is current, and `scripts/generate` writes those that are not."""

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
FILES = (
    "docs/reference/command-reference.md",
    "docs/reference/configuration.md",
    "docs/reference/troubleshooting.md",
    ".env.example",
    "docs/images/demo.svg",
    "docs/images/floors.svg",
)

pytestmark = pytest.mark.once


def run_script(
    top: Path, *options: str, module: str = "generated_files"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"scripts.{module}", *options],
        cwd=top,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the checkout whose files may be changed."""
    for name in ("scaiwave", "tenants", "federation", "rooms", "identity_sync", "scripts", "docs"):
        shutil.copytree(TOP / name, tmp_path / name)
    for name in (".env.example", "pyproject.toml"):
        shutil.copy(TOP / name, tmp_path / name)
    return tmp_path


def test_fail_stale_until_written(copy: Path) -> None:
    for name in FILES:
        text = (copy / name).read_text(encoding="utf-8")
        change = ("|---|---|\n", "") if name.endswith(".md") else ("\n", "")
        (copy / name).write_text(text.replace(*change), encoding="utf-8")
    (copy / FILES[-1]).unlink()
    process = run_script(copy, "--check")
    assert process.returncode == 1
    assert process.stdout.splitlines() == [
        f"{name} is stale; run scripts/generate." for name in FILES
    ]
    assert run_script(copy).stdout.splitlines() == list(FILES)
    for name in FILES:
        assert (copy / name).read_bytes() == (TOP / name).read_bytes()
    assert run_script(copy, "--check").returncode == 0


def test_fail_a_stale_table_of_permissions_until_written(copy: Path) -> None:
    shutil.copytree(TOP / "tests", copy / "tests")
    page = copy / "docs/reference/permissions.md"
    text = page.read_text(encoding="utf-8")
    for stale in (text.replace("`, `room import` |", "` |"), text.replace("`sync keep`, ", "")):
        assert stale != text
        page.write_text(stale, encoding="utf-8")
        process = run_script(copy, "--check", module="permissions_table")
        assert process.returncode == 1
        assert process.stdout == ("docs/reference/permissions.md is stale; run scripts/generate.\n")
        assert run_script(copy, module="permissions_table").returncode == 0
        assert page.read_text(encoding="utf-8") == text
    process = run_script(copy, "--check", module="permissions_table")
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")


def test_fail_unknown_option() -> None:
    process = subprocess.run(
        [TOP / "scripts/generate", "--all"], capture_output=True, text=True, check=False
    )
    assert process.returncode == 2
    assert process.stderr.splitlines() == [
        "Unknown options: --all.",
        "Use one of --check, --demo and --screenshots, or none.",
    ]


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
