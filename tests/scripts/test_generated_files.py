"""Every generated file is current, and `scripts/generate` writes those that are not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from scaiwave.cli.verbs import VERBS, canonical_path
from scaiwave.config.configuration import read_env_file
from scaiwave.config.definitions import SETTINGS

TOP = Path(__file__).resolve().parents[2]
FILES = {
    "docs/reference/command-reference.md": "|---|---|\n",
    "docs/reference/configuration.md": "|---|---|\n",
    "docs/reference/troubleshooting.md": "|---|---|\n",
    ".env.example": "\n",
    "README.md": "  Partner",
    "docs/tutorials/tour.md": "  suspended in ScaiKey",
    "docs/images/demo.txt": "  Skipped",
    "docs/reference/permissions.md": "`, `room import",
    "docs/images/demo.svg": "\n",
    "docs/images/floors.svg": "\n",
}
"""The generated files, with a text that each has."""
LISTS = ["README.md", "docs/tutorials/tour.md", "docs/images/demo.txt", "docs/images/demo.svg"]

pytestmark = pytest.mark.once


def run_script(top: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scripts.generated_files", *options],
        cwd=top,
        capture_output=True,
        text=True,
        check=False,
    )


def list_stale(names: Iterable[str]) -> list[str]:
    return [f"{name} is stale; run scripts/generate." for name in names]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the checkout whose files may be changed."""
    for name in ("scaiwave", "tenants", "federation", "rooms", "identity_sync", "scripts", "docs"):
        shutil.copytree(TOP / name, tmp_path / name)
    for name in ("README.md", ".env.example", "pyproject.toml"):
        shutil.copy(TOP / name, tmp_path / name)
    return tmp_path


def test_fail_stale_until_written(copy: Path) -> None:
    for name, part in FILES.items():
        text = (copy / name).read_text(encoding="utf-8")
        assert part in text
        (copy / name).write_text(text.replace(part, ""), encoding="utf-8")
    (copy / "docs/images/floors.svg").unlink()
    process = run_script(copy, "--check")
    assert process.returncode == 1
    assert process.stdout.splitlines() == list_stale(FILES)
    assert run_script(copy).stdout.splitlines() == list(FILES)
    for name in FILES:
        assert (copy / name).read_bytes() == (TOP / name).read_bytes()
    assert run_script(copy, "--check").returncode == 0


@pytest.mark.fresh_interpreter
def test_fail_a_new_column_until_written_and_a_new_key_until_recorded(copy: Path) -> None:
    command = copy / "tenants/management/commands/list_tenants.py"
    text = command.read_text(encoding="utf-8")
    column = '    Column("contact_email", "Contact"),\n)\nNEAR_LIMIT_COLUMNS'
    text = text.replace(")\nNEAR_LIMIT_COLUMNS", column)
    command.write_text(text, encoding="utf-8")
    assert run_script(copy, "--check").stdout.splitlines() == list_stale(LISTS)
    assert run_script(copy).stdout.splitlines() == LISTS
    table = (copy / "README.md").read_text(encoding="utf-8").partition("list-tenants --partner")[2]
    assert table.splitlines()[1].endswith("  Status  Partner  Contact")
    command.write_text(text.replace('*("members", ', '*("members", "floors", '), encoding="utf-8")
    process = run_script(copy, "--check")
    assert (process.returncode, process.stdout) == (
        1,
        "docs/images/examples.json is stale: floors of `scaiwave admin list-tenants --partner "
        "birch`; run scripts/generate --demo.\n",
    )


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
