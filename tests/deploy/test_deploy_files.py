"""The files of scripts/deploy, checked by the programs that read them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from pytest_django import Settings

from identity_sync.models import SyncRun
from scaiwave.cli.verbs import VERBS, find_longest_match
from scaiwave.operations.deploy_files import DEPLOY_FILES, read_deploy_file
from scaiwave.queue.jobs import JOBS
from tests.federation.factories import make_key
from tests.rooms.search.factories import backfill
from tests.scaiwave.cli_helpers import CHECKOUT, run_scaiwave
from tests.scaiwave.row_factories import NOW
from tests.services.unprivileged_user import DISK
from tests.tools import require_tool

DEPLOY = CHECKOUT / "scripts/deploy"
UNITS = [name for name in DEPLOY_FILES if name.endswith(".service")]
METRIC_FILES = ("prometheus-alerts.yml", "grafana-dashboard.json")


def run_tool(*command: str | Path) -> str:
    """Run a program that must succeed; return what it prints."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def test_success_every_file_is_listed() -> None:
    assert {path.name for path in DEPLOY.iterdir()} == set(DEPLOY_FILES)


@pytest.fixture
def home_on_disk() -> Iterator[str]:
    """Create a directory that is not in /dev, where systemd accepts none."""
    with tempfile.TemporaryDirectory(dir=DISK) as directory:
        yield directory


def test_success_units(tmp_path: Path, home_on_disk: str) -> None:
    """With the programs of this environment, since those of an installation do not exist here."""
    tool = require_tool("systemd-analyze")
    for name in UNITS:
        unit = read_deploy_file(name)
        words = re.search(r"^ExecStart=/opt/scaiwave/venv/bin/(\w+) (.+)$", unit, re.MULTILINE)
        assert words, name
        if words[1] == "scaiwave":
            assert find_longest_match(words[2].split()) in VERBS
        unit = unit.replace("/opt/scaiwave/venv/bin", str(Path(sys.executable).parent))
        unit = unit.replace("/var/lib/scaiwave", home_on_disk).replace("=scaiwave\n", "=root\n")
        (tmp_path / name).write_text(unit)
    assert run_tool(tool, "verify", *(tmp_path / name for name in UNITS)) == ""


LIMITS = (
    "LimitCORE=0",
    "MemoryDenyWriteExecute=yes",
    "ProtectProc=invisible",
    "SystemCallFilter=@system-service",
)


@pytest.mark.parametrize("name", UNITS)
def test_success_units_limit_their_processes(name: str, tmp_path: Path) -> None:
    assert set(LIMITS) <= set(read_deploy_file(name).splitlines())
    tool = require_tool("systemd-analyze")
    (tmp_path / name).write_text(read_deploy_file(name))
    run_tool(tool, "security", "--offline=yes", "--threshold=20", tmp_path / name)


@pytest.mark.parametrize(
    "zone",
    [
        *("Europe/Berlin", "Europe/London", "Europe/Helsinki", "Atlantic/Azores", "Asia/Beirut"),
        *("America/New_York", "America/Havana", "America/Nuuk", "Africa/Cairo", "Pacific/Auckland"),
    ],
)
def test_success_no_night_without_a_backup(zone: str) -> None:
    """systemd skips a day on which a local time does not exist, as when summer time begins."""
    timer = read_deploy_file("scaiwave-backup.timer")
    found = re.search(r"^OnCalendar=\*-\*-\* (\d\d:\d\d)$", timer, re.MULTILINE)
    assert found
    for day in range(366):
        planned = datetime.fromisoformat(f"2027-01-01T{found[1]}") + timedelta(days=day)
        in_utc = planned.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
        assert in_utc.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == planned


def test_success_alert_rules(tmp_path: Path) -> None:
    tool = require_tool("promtool")
    assert "SUCCESS" in run_tool(tool, "check", "rules", DEPLOY / "prometheus-alerts.yml")
    shutil.copy(DEPLOY / "prometheus-alerts.yml", tmp_path)
    shutil.copy(Path(__file__).parent / "prometheus-alerts-test.yml", tmp_path)
    assert "SUCCESS" in run_tool(tool, "test", "rules", tmp_path / "prometheus-alerts-test.yml")


def test_success_every_alert_is_tested() -> None:
    names = re.findall(r"alert: (\w+)", read_deploy_file("prometheus-alerts.yml"))
    tests = (Path(__file__).parent / "prometheus-alerts-test.yml").read_text()
    assert [name for name in names if name not in tests] == []


@pytest.mark.django_db
@pytest.mark.redis
def test_success_every_metric_exists(redis_url: str, settings: Settings) -> None:
    settings.REDIS_URL = redis_url
    make_key()
    SyncRun.objects.create(outcome="applied", started_at=NOW, ended_at=NOW)
    backfill()
    answer = Client().get("/metrics").content.decode()
    known = set(re.findall(r"^# TYPE (\w+)", answer, re.MULTILINE))
    for name in METRIC_FILES:
        used = set(re.findall(r"\bscaiwave_\w+", read_deploy_file(name)))
        assert used, name
        assert used - known == set(), name


def test_success_dashboard() -> None:
    dashboard = json.loads(read_deploy_file("grafana-dashboard.json"))
    panels = [panel["id"] for panel in dashboard["panels"]]
    assert len(panels) == len(set(panels)) > 10
    assert dashboard["templating"]["list"][0]["name"] == "datasource"


def test_success_the_pages_and_the_schedule_have_the_crontab() -> None:
    """Only the line that erases people is for the operator to fill in."""
    page = (CHECKOUT / "docs/how-to/operations.md").read_text(encoding="utf-8")
    lines = read_deploy_file("crontab").splitlines(keepends=True)
    assert f"```crontab\n{''.join(line for line in lines if line[0] != '#')}```" in page
    form = re.compile(r"((?:\S+ ){4}\S+) +SCAIWAVE_HOME=.*/bin/scaiwave (.+) --quiet >/dev/null\n")
    found = [match for line in lines if (match := form.fullmatch(line.removeprefix("# ")))]
    jobs = {each.command: each.cron for each in JOBS.values() if each.cron}
    assert {match[2]: match[1] for match in found} == jobs
    assert [line for line in lines if line.startswith("# ") and "/bin/" in line] == [
        f"# {match[0]}" for match in found if "<days>" in match[2]
    ]
    for path in (CHECKOUT / "docs").rglob("*.md"):
        for match in form.finditer(path.read_text(encoding="utf-8")):
            assert jobs.get(match[2], match[1]) == match[1], (path, match[2])


def test_success_a_file_is_printed() -> None:
    printed = run_scaiwave("admin", "show-deploy-file", "nginx.conf")
    assert (printed.code, printed.out) == (0, (DEPLOY / "nginx.conf").read_text())
    listed = json.loads(run_scaiwave("admin", "show-deploy-file", "--list", "--json").out)
    assert {row["name"] for row in listed["deploy_files"]} == set(DEPLOY_FILES)


@pytest.mark.parametrize("words", [(), ("nginx.conf", "--list"), ("apache.conf",)])
def test_fail_usage(words: tuple[str, ...]) -> None:
    ended = run_scaiwave("admin", "show-deploy-file", *words)
    assert (ended.code, ended.out, "[SW_USAGE]" in ended.err) == (2, "", True)
