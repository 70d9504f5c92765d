"""Run the commands of the README and of the docs as a reader does, and compare their output.

A block of commands that can't run here has a comment before it in its page, with the reason.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import httpx
import pytest

from tests.databases import copy_database
from tests.docs_shell import PROGRAMS, Block, Reader, find_blocks, open_terminal
from tests.scaiwave.cli_helpers import CHECKOUT
from tests.services.postgres import start_postgres
from tests.services.unprivileged_user import ServiceUser
from tests.tools import NIGHTLY, leave_untested

README = "README.md"
STARTED = "docs/tutorials/getting-started.md"
TOUR = "docs/tutorials/tour.md"
UPGRADE = "docs/how-to/upgrade.md"
WEBHOOKS = "docs/how-to/webhooks.md"
MONITORING = "docs/how-to/monitoring.md"
PRODUCTION = "docs/how-to/production.md"
BACKUP = "docs/how-to/backup.md"
DEMO = "docs/images/demo.txt"
MAX_README_LINES = 150
ELLIPSIS = "…"
SKIP = "skip, "
SHOW_UNIT = "scaiwave admin show-deploy-file scaiwave-web.service"

pytestmark = pytest.mark.once


def read_page(page: str) -> str:
    return (CHECKOUT / page).read_text(encoding="utf-8")


def find_commands_in_prose(page: str) -> list[str]:
    """Return the complete `scaiwave …` commands of the running text."""
    prose = re.sub(r"^ *```.*?^ *```$", "", read_page(page), flags=re.MULTILINE | re.DOTALL)
    quoted = (" ".join(command.split()) for command in re.findall(r"`(scaiwave [^`]+)`", prose))
    return [command for command in quoted if "<" not in command and "room.zip" not in command]


@pytest.fixture
def reader(tmp_path: Path, migrated: str) -> Iterator[Reader]:
    """Return a reader on a server with a migrated database in `.demo`."""
    home = tmp_path / ".demo"
    home.mkdir(mode=0o700)
    copy_database(migrated, f"sqlite:///{home / 'scaiwave.sqlite3'}")
    root = tmp_path / "root"
    for name in ("etc/prometheus", "etc/systemd/system", "var/log"):
        (root / name).mkdir(parents=True)
    replaced = {
        "/opt/scaiwave/venv/bin": str(Path(sys.executable).parent),
        "/etc/scaiwave/env": str(home / ".env"),
        "/etc/": f"{root}/etc/",
        "/var/lib/scaiwave": str(home),
        "/var/log/": f"{root}/var/log/",
    }
    with open_terminal(tmp_path, {"SCAIWAVE_HOME": str(home)}, replaced) as reader:
        yield reader


def find_demo_commands() -> list[str]:
    return re.findall(r"^\$ (scaiwave .*)", read_page(DEMO), re.MULTILINE)


def run_demo(reader: Reader) -> None:
    """Run the commands of the recorded demo; `.ci/run` compares the recording with the script."""
    migrate, sandbox, register, sync, _, create, _ = find_demo_commands()
    assert "manage migrate" in migrate  # The fixture has done it.
    reader.start(sandbox.removesuffix(" &"))
    reader.run(register)
    reader.run(sync)
    address = f"http://127.0.0.1:{reader.ports['sandbox']}/sandbox/mutate"
    tenant = {"op": "add_tenant", "slug": "aurora-labs", "name": "Aurora Labs"}
    key = httpx.post(address, json=tenant, trust_env=False).raise_for_status().json()["result"]
    reader.run(create.replace("tnt_…", key))
    reader.stop()


def begin(reader: Reader) -> None:
    """Start the sandbox of the tour, as the demo says at its end."""
    sandbox = next(block for block in find_blocks(TOUR) if "manage sandbox" in block.text)
    reader.start(sandbox.text)


def assert_page_runs(page: str, reader: Reader) -> None:
    """Run every block that is not marked."""
    for block in find_blocks(page):
        if block.marker == "background":
            reader.start(block.text)
        elif not block.marker.startswith(SKIP):
            assert_block_runs(block, reader)


def assert_block_runs(block: Block, reader: Reader) -> None:
    for command, expected in block.find_sessions():
        # A block may say with which code it ends.
        code = int(block.marker.removeprefix("exit ") or 0)
        assert_printed(command, reader.run(command, code), expected)


@pytest.mark.ci
def test_success_readme_and_pages_about_a_synced_server(reader: Reader) -> None:
    """The tour comes last, since it changes most."""
    run_demo(reader)
    begin(reader)
    reader.run(f"{SHOW_UNIT} >/etc/systemd/system/scaiwave-web.service")
    for page in (README, MONITORING):
        assert_page_runs(page, reader)
    for command in find_commands_in_prose(README):
        reader.run(command)
    reader.stop()
    assert_page_runs(TOUR, reader)
    for command in find_commands_in_prose(TOUR):
        reader.run(command)


@pytest.mark.ci
def test_success_webhooks(reader: Reader) -> None:
    assert_page_runs(WEBHOOKS, reader)


@pytest.mark.ci
@pytest.mark.only_on("postgresql")
def test_success_production(tmp_path: Path, database_url: str, redis_url: str) -> None:
    """Without root, the directories are in a prefix, and commands of systemd do nothing."""
    prefix = tmp_path / "root"
    for name in ("var/lib/scaiwave", "etc/scaiwave", "etc/systemd/system"):
        (prefix / name).mkdir(mode=0o700, parents=True)
    replaced = {
        "su - scaiwave": f". {prefix}/var/lib/scaiwave/.profile",
        "scaiwave:scaiwave": "$(id -u):$(id -g)",
        "postgres://scaiwave@/scaiwave?host=/run/postgresql": database_url,
        "redis://127.0.0.1:6379/0": redis_url,
        "=chat.example.com": "=127.0.0.1",
        "https://chat.example.com": "https://127.0.0.1",
        "systemctl ": ": systemctl ",
        "/opt/scaiwave/venv/bin": str(Path(sys.executable).parent),
        "/etc/": f"{prefix}/etc/",
        "/var/lib/": f"{prefix}/var/lib/",
    }
    with open_terminal(tmp_path, {}, replaced) as reader:
        for block in find_blocks(PRODUCTION):
            if "sync register" in block.text:
                begin(reader)
                reader.run(find_demo_commands()[2])
            if "/health" in block.text:
                reader.start("gunicorn --config python:scaiwave.web.gunicorn_config")
            if not block.marker:
                assert_block_runs(block, reader)


@pytest.fixture
def operator(tmp_path: Path, database_url: str) -> Iterator[Reader]:
    """Return a reader on a host with the suite, and a cluster of PostgreSQL without databases."""
    prefix = tmp_path / "root"
    for directory in ("var/lib/scaiwave", "var/tmp", "var/backups", "etc/systemd/system"):
        (prefix / directory).mkdir(mode=0o700, parents=True)
    user = ServiceUser.choose_unprivileged()
    with tempfile.TemporaryDirectory(prefix="scaiwave-cluster-") as name:
        cluster = Path(name)
        cluster.chmod(0o711)
        user.take_ownership(cluster)
        server = start_postgres(cluster, user, superuser="postgres")
        environment = {
            "PATH": f"{tmp_path}/programs:{PROGRAMS}:{os.environ['PATH']}",
            "PGHOST": name,
            "SCAIWAVE_HOME": f"{prefix}/var/lib/scaiwave",
            "SCAIWAVE_ENV_FILE": f"{prefix}/etc/scaiwave/env",
        }
        replaced = {
            "-o scaiwave -g scaiwave ": "",
            "/opt/scaiwave/venv/bin": str(PROGRAMS),
            "systemctl ": ": systemctl ",
            "su - postgres -c": "PGUSER=postgres sh -c",
            "/run/postgresql": name,
            "activate-restore ": "activate-restore --no-input ",
            "activate-restore\n": "activate-restore --no-input\n",
            **{f"/{top}/": f"{prefix}/{top}/" for top in ("etc", "var")},
        }
        try:
            with open_terminal(tmp_path, environment, replaced) as reader:
                blocks = find_blocks(PRODUCTION)
                configure = next(block.text for block in blocks if "cat >/etc" in block.text)
                reader.run(f"mkdir /etc/scaiwave\n{configure.partition('chown')[0]}")
                reader.run(next(block.text for block in blocks if "createuser" in block.text))
                yield reader
        finally:
            server.stop()


def name_backup(reader: Reader, backup: Path) -> None:
    reader.replaced["scaiwave-20261129T020000Z"] = backup.name
    manifest = json.loads((backup / "manifest.json").read_text())
    reader.replaced["<fingerprint>"] = str(manifest.get("key_id"))


@pytest.mark.ci
@pytest.mark.only_on("postgresql")
def test_success_backup(tmp_path: Path, operator: Reader) -> None:
    """The server is lost before the steps of the restore, with its cluster."""
    prefix = tmp_path / "root"
    operator.run("scaiwave manage migrate --verbosity 0")
    operator.run("scaiwave admin federation key generate")
    operator.run("scaiwave manage seed_rooms --tenant acme --events 20 --media 2")
    room = operator.run(
        "scaiwave room list --tenant acme --json | grep -m 1 -o '[0-9a-f-]\\{36\\}'"
    )
    operator.replaced["<room>"] = room.strip()
    backups = prefix / "var/backups/scaiwave"
    for block in find_blocks(BACKUP):
        if "createuser" in block.text:
            operator.run("su - postgres -c 'dropdb scaiwave && dropuser scaiwave'")
            shutil.rmtree(prefix / "var/lib/scaiwave/media")
        if not block.marker:
            assert_block_runs(block, operator)
        if found := sorted(backups.glob("scaiwave-*")):
            name_backup(operator, found[0])
    assert len(list(backups.iterdir())) == 2
    assert len(list(prefix.glob("var/*/scaiwave/media/tenant/*/*"))) == 2
    assert len(list(prefix.glob("var/tmp/scaiwave-copy/media/tenant/*/*"))) == 2


NEEDS_NIGHT = pytest.mark.skipif(not NIGHTLY, reason="SCAIWAVE_TEST_NIGHTLY is not set.")


@pytest.mark.ci
@pytest.mark.only_on("postgresql")
@pytest.mark.parametrize("release", [pytest.param("0.2.0", marks=NEEDS_NIGHT), "0.3.0"])
def test_success_upgrade_and_rollback(release: str, tmp_path: Path, operator: Reader) -> None:
    """With the wheel of the old release, built from its commit."""
    old = build_release(release, tmp_path)
    script, new = tmp_path / "programs/scaiwave", f"#!/bin/sh\nexec {PROGRAMS}/scaiwave "
    script.parent.mkdir()
    script.write_text(old)
    script.chmod(0o755)
    operator.run("sed -i /REDIS/d /etc/scaiwave/env && chmod 0600 /etc/scaiwave/env")
    operator.run("scaiwave manage migrate --verbosity 0")
    begin(operator)
    operator.run(next(words for words in find_demo_commands() if "sync register" in words))
    operator.run("scaiwave sync --quiet")
    operator.run("scaiwave manage seed_rooms --tenant acme --events 5")
    before = operator.run("scaiwave admin list-tenants")
    assert "acme" in before
    (tmp_path / "root/var/backups/scaiwave").mkdir()
    backs_up_later = release == "0.2.0"
    back_up = ""
    for block in find_blocks(UPGRADE):
        if "admin backup" in block.text and backs_up_later:
            back_up = block.text
        elif "pip install" in block.text:
            script.write_text(f'{new}"$@"\n')
            operator.run(back_up)
            (backup,) = (tmp_path / "root/var/backups/scaiwave").iterdir()
            name_backup(operator, backup)
        elif "list-tenants" in block.text:
            script.write_text(old)
            assert operator.run(block.text).endswith(before)
        elif "show-deploy-file" in block.text:
            unit = "scaiwave-web.service"
            operator.run(f"scaiwave admin show-deploy-file {unit} >/etc/systemd/system/{unit}")
            assert_block_runs(block, operator)
        elif "activate-restore" in block.text and backs_up_later:
            continue
        elif not block.marker:
            assert_block_runs(block, operator)


def build_release(release: str, directory: Path) -> str:
    """Build the wheel of a release from its commit, and return a program that runs it."""
    source, wheel = directory / "source", directory / release
    source.mkdir()
    words = ("log", "-1", "--format=%H", f"--grep=^Release {release}$")
    commit = subprocess.run(
        ["git", *words], cwd=CHECKOUT, capture_output=True, text=True, check=False
    ).stdout.strip()
    if not commit:
        leave_untested(f"The history lacks the commit of {release}.")
    packed = subprocess.run(
        ["git", "archive", commit], cwd=CHECKOUT, stdout=subprocess.PIPE, check=True
    )
    subprocess.run(["tar", "-x", "-C", source], input=packed.stdout, check=True)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheel)]
    subprocess.run(build, cwd=source, check=True, stdout=subprocess.DEVNULL)
    (archive,) = wheel.glob("*.whl")
    with zipfile.ZipFile(archive) as files:
        files.extractall(wheel)
    program = "import sys; from scaiwave.cli import main; sys.exit(main())"
    return f"#!/bin/sh\nPYTHONPATH={wheel} exec {sys.executable} -c '{program}' \"$@\"\n"


def test_success_markers_are_known() -> None:
    for page in (README, STARTED, TOUR, UPGRADE, WEBHOOKS, MONITORING, PRODUCTION, BACKUP):
        for block in find_blocks(page):
            assert re.fullmatch(r"|background|exit \d|skip, .{10,}", block.marker), block


def test_success_the_readme_is_short() -> None:
    assert len(read_page(README).splitlines()) <= MAX_README_LINES


def test_success_links_of_the_readme_exist() -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", read_page(README))
    assert [target for target in targets if not (CHECKOUT / target).exists()] == []


def assert_printed(command: str, printed: str, expected: list[str]) -> None:
    """Assert that each line is printed, in order; `…` is any number of lines, or part of one."""
    lines = printed.splitlines()
    position = 0
    skipping = not expected
    for wanted in expected:
        if wanted == ELLIPSIS:
            skipping = True
            continue
        matches = [
            index
            for index in range(position, len(lines))
            if fnmatchcase(_squeezed(lines[index]), _pattern(wanted))
        ]
        assert matches, f"{command} does not print {wanted!r}:\n{printed}"
        assert skipping or matches[0] == position, f"{command} prints more before {wanted!r}"
        position, skipping = matches[0] + 1, False
    assert skipping or position == len(lines), f"{command} prints more at its end:\n{printed}"


def _squeezed(line: str) -> str:
    return " ".join(line.split())  # columns are as wide as their widest cell


def _pattern(wanted: str) -> str:
    return _squeezed(wanted).replace("[", "[[]").replace(ELLIPSIS, "*")


def test_success_every_command_is_documented() -> None:
    from scaiwave.cli.verbs import VERBS

    shown = read_page(TOUR) + read_page("docs/reference/command-reference.md")
    for words in VERBS:
        assert " ".join(words) in shown, words
