from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.db import OperationalError

from scaiwave.config import Configuration
from scaiwave.core.errors import DiskFull, InsufficientPermission
from scaiwave.core.operators import Operator, OperatorRole, get_host_operator
from scaiwave.operations.doctor import runner
from scaiwave.operations.doctor.findings import Check, Finding, State, passed, warned
from scaiwave.operations.doctor.runner import HealthReport, run_checks
from scaiwave.sandbox import Sandbox
from tenants.models import DoctorRun
from tests.databases import copy_database
from tests.scaiwave.cli_helpers import run_scaiwave
from tests.scaiwave.row_factories import NOW

pytestmark = pytest.mark.django_db


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[Check]:
    """The checks of the apps; none at first."""
    checks: list[Check] = []
    monkeypatch.setattr(runner, "CHECKS", checks)
    return checks


def run(operator: Operator | None = None, *, dry_run: bool = False) -> HealthReport:
    return run_checks(
        operator=operator or get_host_operator(),
        config=django_settings.CONFIG,
        now=NOW,
        dry_run=dry_run,
    )


def test_success_findings_of_the_apps_come_after_our_own(checks: list[Check]) -> None:
    checks.append(Check("tea", lambda c, n: [passed("tea", "Hot.")]))
    checks.append(Check("milk", lambda c, n: [warned("milk", "Low.", "Buy.")]))
    found = run()
    assert [finding.check for finding in found.findings][-2:] == ["tea", "milk"]
    assert found.exit_code == 0
    assert found.summary.startswith("Healthy, with")


def test_fail_the_first_failure_gives_the_exit_code(checks: list[Check]) -> None:
    def full(config: Configuration, now: datetime) -> list[Finding]:
        raise DiskFull("There is no room.")

    def refused(config: Configuration, now: datetime) -> Iterator[Finding]:
        yield Finding("later", State.FAIL, "No.", exit_code=3)

    checks.append(Check("tea", full))
    checks.append(Check("later", refused))
    found = run()
    assert found.exit_code == 1
    tea = next(finding for finding in found.findings if finding.check == "tea")
    assert (tea.state, tea.message, tea.code) == (State.FAIL, "There is no room.", "SW_DISK_FULL")
    assert found.summary.startswith("2 checks failed")


def test_fail_what_the_database_raises_is_a_finding(checks: list[Check]) -> None:
    def broken(config: Configuration, now: datetime) -> list[Finding]:
        raise OperationalError("of no database we know")

    checks.append(Check("tea", broken))
    found = run()
    assert next(f for f in found.findings if f.check == "tea").code == "SW_DATABASE_UNREACHABLE"


@pytest.mark.parametrize(
    ("operator", "dry_run", "fixed"),
    [
        (get_host_operator(), False, True),
        (get_host_operator(), True, False),
        (Operator("reader", OperatorRole.PLATFORM_READ), False, False),
    ],
)
def test_success_only_operators_with_write_access_apply_fixes(
    operator: Operator, dry_run: bool, fixed: bool, checks: list[Check]
) -> None:
    def fix(config: Configuration, now: datetime) -> Iterator[Finding]:
        yield passed("tea", "Fixed.")

    checks.append(Check("tea", lambda c, n: [], clean_up=fix))
    messages = [finding.message for finding in run(operator, dry_run=dry_run).findings]
    assert ("Fixed." in messages) is fixed


def test_success_the_last_report_is_stored(checks: list[Check]) -> None:
    checks.append(Check("tea", lambda c, n: [warned("tea", "Cold.", "Heat it.")]))
    run()
    report = run()
    run(dry_run=True)
    stored = DoctorRun.objects.get()
    assert (stored.ran_at, stored.operator) == (NOW, get_host_operator().name)
    assert stored.findings == report.document()["checks"]
    assert stored.is_healthy is report.document()["healthy"]
    stored.delete()
    run(Operator("reader", OperatorRole.PLATFORM_READ))
    assert not DoctorRun.objects.exists()


def test_success_repairs_are_asked_for(home: Path, database_url: str, empty_database: str) -> None:
    copy_database(empty_database, database_url)
    (home / ".env").touch(mode=0o644)
    for words, mode in (((), 0o644), (("--fix", "--dry-run"), 0o644), (("--fix",), 0o600)):
        assert "Traceback" not in run_scaiwave("doctor", *words).err
        assert (home / ".env").stat().st_mode & 0o777 == mode


def test_fail_repairs_by_an_operator_who_may_only_look() -> None:
    with pytest.raises(InsufficientPermission):
        run_checks(
            operator=Operator("reader", OperatorRole.PLATFORM_READ),
            config=django_settings.CONFIG,
            now=NOW,
            fix=True,
        )


def test_fail_an_unmigrated_database_skips_what_needs_it(home: Path, database_url: str) -> None:
    (home / "scaiwave.sqlite3").touch()
    ended = run_scaiwave("doctor")
    assert ended.code == 2
    assert "fail   migrations" in ended.out
    assert (ended.out.count("fail   "), ended.out.count("skip   ")) == (1, 1)
    assert "skip   other          Skipped until the database can be used: " in ended.out
    assert ended.err == ""


def test_fail_no_database(home: Path) -> None:
    ended = run_scaiwave(
        "doctor", "--json", SCAIWAVE_DB_URL=f"postgres://u:hush-hush-secret@/x?host={home}"
    )
    found = json.loads(ended.out)
    states = {item["check"]: item["state"] for item in found["checks"]}
    assert ended.code == 2
    assert (found["healthy"], states["database"], states["other"]) == (False, "fail", "skip")
    assert "hush-hush" not in ended.out + ended.err


@pytest.mark.sandbox(partners=1, tenants=1, people=1, groups=0)
def test_success_a_healthy_server_is_exit_0(
    sandbox: Sandbox,
    database_url: str,
    empty_database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (
        ("URL", sandbox.url),
        ("CLIENT_ID", sandbox.client_id),
        ("CLIENT_SECRET", sandbox.client_secret),
    ):
        monkeypatch.setenv(f"SCAIWAVE_SCAIKEY_{name}", value)
    copy_database(empty_database, database_url)
    never = run_scaiwave("doctor", "--json")
    failed = [item["code"] for item in json.loads(never.out)["checks"] if item["state"] == "fail"]
    assert (never.code, failed) == (1, ["SW_SYNC_OVERDUE"])
    assert run_scaiwave("sync").code == 0
    ended = run_scaiwave("doctor", "--json")
    found = json.loads(ended.out)
    assert [item for item in found["checks"] if item["state"] == "fail"] == []
    assert ended.code == 0
    assert sandbox.client_secret not in ended.out
    refused = run_scaiwave("doctor", SCAIWAVE_SCAIKEY_CLIENT_SECRET="another-secret-altogether")
    assert refused.code == 3
    assert "fail   scaikey" in refused.out
    assert "another-secret" not in refused.out + refused.err
