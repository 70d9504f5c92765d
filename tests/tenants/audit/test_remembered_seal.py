"""The seal that a host remembers outside of the database shows that the log was reset."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from django.db import connection
from pytest_django import Settings

from scaiwave.config import load
from scaiwave.core.errors import FileUnwritable
from scaiwave.core.report import Report
from scaiwave.core.sql import execute
from scaiwave.operations.doctor.audit_seals import check_audit_seals
from scaiwave.operations.doctor.findings import Check, Finding, State
from scaiwave.operations.doctor.runner import _run_check
from tenants.audit.queries.remembered import get_path
from tenants.audit.seal_audit import seal_audit
from tenants.models import AuditChain, AuditEntry, AuditSeal, AuditSealPart
from tests.tenants.audit.seals import (
    DAY,
    DAYS,
    TODAY,
    find,
    make_entry,
    prune_audit,
    verify,
)
from tests.tenants.audit.test_seal_chain import cut_chain
from tests.tenants.factories import HOST_OPERATOR

pytestmark = pytest.mark.django_db
TOMORROW = TODAY + DAY
LOST = ("differs_from_remembered", None, None)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, settings: Settings) -> Path:
    """A home directory that the other tests don't share."""
    settings.HOME = tmp_path
    return tmp_path


def seal(*, accept_restored: bool = False, dry_run: bool = False) -> Report:
    return seal_audit(
        operator=HOST_OPERATOR, now=TOMORROW, accept_restored=accept_restored, dry_run=dry_run
    )


@pytest.fixture
def remembered(sealed: list[AuditEntry]) -> str:
    """The seal that is remembered."""
    make_entry(TODAY.date())
    seal()
    return get_path().read_text().strip()


def wipe() -> None:
    for model in (AuditSeal, AuditSealPart, AuditChain):
        model.objects.all().delete()
    execute("DELETE FROM sw_audit_entries")


def doctor() -> Finding:
    (finding,) = check_audit_seals(load({}), TOMORROW)
    return finding


def test_success_the_newest_seal_is_remembered_for_the_owner_only(
    home: Path, remembered: str
) -> None:
    assert remembered == verify(TOMORROW).newest_seal
    assert get_path().parent == home
    assert get_path().stat().st_mode & 0o777 == 0o600
    assert (find(TOMORROW), doctor().state) == ([], State.PASS)


def test_fail_wiped_together_with_its_seals(remembered: str) -> None:
    wipe()
    assert find(TOMORROW) == [LOST]
    message = (
        f"The audit log lacks the newest seal that this host has made, {remembered!r} in "
        f"{get_path()}."
    )
    result = verify(TOMORROW)
    assert result.error is not None
    assert result.error.code == "SW_AUDIT_CHANGED"
    assert result.problems.listed[0].message == message
    finding = doctor()
    assert (finding.state, finding.code, finding.message) == (
        State.FAIL,
        "SW_AUDIT_SEALS_LOST",
        message,
    )
    assert "scaiwave admin audit seal --accept-restored" in finding.fix


@pytest.mark.parametrize("number", [0, 1, DAYS])
def test_fail_sealing_again_does_not_hide_it(number: int, remembered: str) -> None:
    cut_chain(number)
    AuditEntry.objects.filter(at__date=TODAY.date()).delete()
    seal()
    assert AuditSeal.objects.count() == DAYS + 1
    assert find(TOMORROW) == [LOST]
    assert get_path().read_text().strip() == remembered


def test_success_a_restored_state_is_accepted_and_recorded(remembered: str) -> None:
    cut_chain(2)
    preview = seal(accept_restored=True, dry_run=True)
    assert preview.sentence.startswith("Would accept the restored audit log. Would seal ")
    assert LOST in find(TOMORROW)
    result = seal(accept_restored=True)
    assert result.sentence.startswith("Accepted the restored audit log. Sealed ")
    assert result.document()["accepted"]
    again = seal(accept_restored=True)
    assert again.sentence == "No day is due to be sealed."
    assert not again.document()["changed"]
    entry = AuditEntry.objects.get(action="audit seal --accept-restored")
    assert remembered in entry.details["problem"]
    assert find(TOMORROW) == []
    assert get_path().read_text().strip() == verify(TOMORROW).newest_seal != remembered


def test_success_an_empty_log_is_accepted(remembered: str) -> None:
    wipe()
    result = seal(accept_restored=True)
    assert result.sentence == "Accepted the restored audit log. No day is due to be sealed."
    assert result.document()["changed"]
    assert not get_path().exists()
    assert doctor().state is State.PASS


def test_fail_an_acceptance_that_ends_early_is_not_recorded(
    monkeypatch: pytest.MonkeyPatch,
    remembered: str,
) -> None:
    wipe()

    def fail(path: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    with monkeypatch.context() as broken:
        broken.setattr(Path, "unlink", fail)
        with pytest.raises(OSError, match="Read-only"):
            seal(accept_restored=True)
    assert not AuditEntry.objects.filter(action="audit seal --accept-restored").exists()
    assert find(TOMORROW) == [LOST]


def test_fail_file_unreadable_is_one_finding_of_doctor() -> None:
    get_path().mkdir()
    check = Check("audit_seals", check_audit_seals)
    (finding,) = _run_check(check, config=load({}), now=TOMORROW, cleans_up=False)
    assert (finding.state, finding.code) == (State.FAIL, "SW_FILE_UNWRITABLE")


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff\xfe", b"4:" + b"0" * 64])
def test_fail_file_damaged(content: bytes, remembered: str) -> None:
    get_path().write_bytes(content)
    assert find(TOMORROW) == [LOST]


def test_success_retention_deletes_no_seal(remembered: str) -> None:
    later = TODAY + 60 * DAY
    seal_audit(operator=HOST_OPERATOR, now=later)
    prune_audit(later, days=40)
    assert find(later) == []


def test_success_another_host_and_another_database_remember_nothing(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, remembered: str
) -> None:
    wipe()
    with monkeypatch.context() as patch:
        patch.setitem(connection.settings_dict, "HOST", "elsewhere.example")
        assert not get_path().exists()
    settings.HOME = tmp_path / "elsewhere"
    assert find(TOMORROW) == []


def test_success_a_host_that_sealed_earlier_is_content_with_later_seals(remembered: str) -> None:
    earlier = get_path().read_text()
    seal_audit(operator=HOST_OPERATOR, now=TODAY + 3 * DAY)
    get_path().write_text(earlier)
    assert find(TODAY + 3 * DAY) == []


def test_fail_home_not_writable(settings: Settings, sealed: list[AuditEntry]) -> None:
    settings.HOME = Path("/proc/nowhere")
    with pytest.raises(FileUnwritable):
        seal()
