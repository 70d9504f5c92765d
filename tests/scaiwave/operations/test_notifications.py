"""E-mails about problems, sent to a real server on loopback that may misbehave."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.urls import resolve
from pytest_django import Settings

from federation.keys.lifecycle import generate_key
from identity_sync.models import PendingRemoval, RemovalState
from identity_sync.sync.options import SyncOptions
from identity_sync.sync.run import run_sync
from scaiwave.config import Configuration, load
from scaiwave.config.checks import check_configuration
from scaiwave.config.mail import load_mail_settings
from scaiwave.core.errors import ScaiWaveError, SettingInvalid, SettingMissing
from scaiwave.ids import new_id
from scaiwave.operations.doctor.host import check_notifications
from scaiwave.operations.notifications import mail, news
from scaiwave.operations.notifications.mail import (
    MailRefused,
    MailUnreachable,
    send_mail,
    send_test_notification,
)
from scaiwave.operations.notifications.news import send_news
from scaiwave.sandbox import Sandbox
from tenants.models import Notice, Restoration
from tests.concurrency import run_concurrently
from tests.identity_sync.registration.helpers import HOST_OPERATOR as HOST
from tests.identity_sync.registration.helpers import NOW
from tests.identity_sync.reports.test_judgement import FAILED, REGISTERED
from tests.identity_sync.reports.test_status import make_run
from tests.scaiwave import row_factories
from tests.smtp_server import MailServer, run_mail_server
from tests.tenants.factories import run_command
from tests.test_json_output import match, read_page

pytestmark = [pytest.mark.django_db, pytest.mark.dated]
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
CRON = {"trigger": "cron"}


@pytest.fixture
def server() -> Iterator[MailServer]:
    with run_mail_server() as running:
        yield running


@pytest.fixture
def config(server: MailServer) -> Configuration:
    return make_config(server)


def make_config(server: MailServer, **settings: str) -> Configuration:
    return load(
        {
            **REGISTERED,
            "SCAIWAVE_SERVER_NAME": "chat.example.com",
            "SCAIWAVE_PUBLIC_URL": "https://chat.example.com",
            "SCAIWAVE_NOTIFY_EMAIL": "anna@example.com, otto@example.com",
            "SCAIWAVE_EMAIL_URL": server.url,
            **settings,
        }
    )


def send(config: Configuration, after: timedelta = timedelta(0)) -> int:
    return send_news(config=config, now=NOW + after)


def make_failures() -> None:
    make_run(**CRON, started_at=NOW - 15 * MINUTE)
    make_run(**CRON, **FAILED, started_at=NOW - 9 * MINUTE)
    make_run(**CRON, **FAILED, started_at=NOW - 5 * MINUTE)


# What is reported


def test_success_failing_syncs_are_reported_once_and_resolved_once(
    server: MailServer, config: Configuration
) -> None:
    make_failures()
    assert [send(config), send(config, MINUTE)] == [1, 0]
    (message,) = server.messages
    assert message["Subject"] == "[chat.example.com] Syncs fail"
    assert message["From"] == "scaiwave@chat.example.com"
    assert message["To"] == "anna@example.com, otto@example.com"
    assert message["Auto-Submitted"] == "auto-generated"
    body = message.get_content().replace("\r\n", "\n")
    assert body.startswith("The last 2 full syncs failed: SW_X.\n\nFix: `scaiwave sync show-run ")
    assert body.rstrip().endswith("https://chat.example.com/admin/identity_sync/syncrun/")
    assert all(resolve(f"/admin/{page}").url_name for _, page in news.TITLES.values())
    make_run(**CRON, started_at=NOW - MINUTE)
    assert [send(config, 2 * MINUTE), send(config, 3 * MINUTE)] == [1, 0]
    assert server.subjects[1:] == ["[chat.example.com] Resolved: Syncs fail"]
    assert not Notice.objects.exists()


def test_success_a_problem_that_returns_is_reported_again(
    server: MailServer, config: Configuration
) -> None:
    run = make_run(**CRON)
    assert send(config) == 0
    # A day later nothing has run, so the scheduler is missing too.
    assert send(config, 24 * HOUR) == 1
    assert send(config, 24 * HOUR + 5 * MINUTE) == 1
    run.started_at = run.ended_at = NOW + 25 * HOUR
    run.save()
    assert send(config, 25 * HOUR) == 2
    assert send(config, 48 * HOUR) == 1
    assert [subject.removeprefix("[chat.example.com] ") for subject in server.subjects] == [
        "The sync is overdue",
        "No scheduler starts syncs",
        "Resolved: The sync is overdue",
        "Resolved: No scheduler starts syncs",
        "The sync is overdue",
    ]


def test_success_a_scheduler_that_restarts_is_not_reported(
    server: MailServer, config: Configuration
) -> None:
    run = make_run(**CRON, started_at=NOW - 50 * MINUTE)
    make_run(started_at=NOW)
    assert [send(config), send(config, 4 * MINUTE)] == [0, 0]
    run.started_at = NOW
    run.save()
    assert send(config, 5 * MINUTE) == 0
    assert server.messages == []
    assert not Notice.objects.exists()


def test_success_further_removals_are_reported_an_hour_later(
    server: MailServer, config: Configuration
) -> None:
    tenant = row_factories.make_tenant()

    def make_removal(number: int, first_seen_at: datetime) -> PendingRemoval:
        return PendingRemoval.objects.create(
            tenant=tenant,
            kind="participants",
            subject_id=new_id(),
            subject_scaikey_id=f"usr_{number}",
            person_scaikey_id=f"usr_{number}",
            subject_name="Anna",
            loss="removed",
            cause="removed",
            limit_code="tenant",
            first_seen_at=first_seen_at,
            last_seen_at=first_seen_at,
        )

    make_run(**CRON)
    first = make_removal(1, NOW)
    assert [send(config), send(config, MINUTE)] == [1, 0]
    assert "1 removal waits for a decision, the oldest for" in server.messages[0].get_content()
    assert f"{tenant.slug} (1)" in server.messages[0].get_content()
    assert "Anna" not in server.messages[0].as_string()
    second = make_removal(2, NOW + 5 * MINUTE)
    make_run(**CRON, started_at=NOW + 50 * MINUTE)
    assert [send(config, 59 * MINUTE), send(config, HOUR), send(config, 61 * MINUTE)] == [0, 1, 0]
    assert "2 removals wait" in server.messages[1].get_content()
    # One is kept until a time, and then waits again.
    third = make_removal(3, NOW)
    third.state, third.expires_at = RemovalState.KEPT, NOW + 3 * HOUR
    third.save()
    make_run(**CRON, started_at=NOW + 170 * MINUTE)
    sent = [send(config, minutes * MINUTE) for minutes in (179, 180, 181)]
    assert sent == [0, 1, 0]
    assert "3 removals wait" in server.messages[2].get_content()
    third.delete()
    first.delete()
    assert send(config, 182 * MINUTE) == 0
    second.delete()
    assert send(config, 183 * MINUTE) == 1
    assert server.subjects[3] == "[chat.example.com] Resolved: Removals wait for a decision"


def test_success_a_rotation_that_is_due(server: MailServer, config: Configuration) -> None:
    make_run(**CRON)
    created_at = NOW - timedelta(days=340)
    generate_key(operator=HOST, now=created_at)
    assert send(config) == 1
    body = server.messages[0].get_content()
    assert "The yearly rotation is due on " in body
    assert "Fix: Run `scaiwave admin federation key rotate`." in body


def test_success_nothing_is_sent_from_a_restored_server(
    server: MailServer, config: Configuration
) -> None:
    make_failures()
    Restoration.objects.create(backup="b", backup_at=NOW, restored_at=NOW)
    assert send(config) == 0
    assert server.connections == 0


def test_success_secrets_are_masked(server: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config(server, SCAIWAVE_SCAIKEY_CLIENT_SECRET="hunter2-hunter2")
    make_failures()
    problem = news.ReportedProblem("It says hunter2-hunter2.", "Ask.")
    monkeypatch.setattr(news, "find_problems", lambda *_: {"sync_failing": problem})
    assert send(config) == 1
    assert "hunter2" not in server.messages[0].get_content()


# Servers that misbehave

FAILURES = {
    "busy": (MailRefused, "refused the e-mail: 451 4.7.1 Greylisted, try again."),
    "reject": (MailRefused, "refused the e-mail: 550 5.1.1 No such user  here."),
    "drop": (MailUnreachable, "can't be used: Connection unexpectedly closed."),
    "hang": (MailUnreachable, "can't be used: no answer within 1 seconds."),
    "drip": (MailUnreachable, "can't be used: no answer within 1 seconds."),
    "garbage": (MailUnreachable, "can't be used: "),
}


@pytest.mark.parametrize("behaviour", FAILURES)
def test_fail_and_tried_again_later(
    behaviour: str,
    server: MailServer,
    config: Configuration,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    error_type, text = FAILURES[behaviour]
    if behaviour in ("hang", "drip"):
        monkeypatch.setattr(news, "MAX_SECONDS", 1.4)
    make_failures()
    server.behaviours = [behaviour]
    with caplog.at_level(logging.ERROR):
        assert send(config) == 0
    assert error_type.code in caplog.text
    notice = Notice.objects.get()
    assert f"The mail server 127.0.0.1:{server.port} " in notice.error
    assert text in notice.error
    assert (notice.attempts, notice.reported_at) == (1, None)
    (finding,) = check_notifications(config, NOW)
    assert (finding.state.value, notice.error in finding.message) == ("warn", True)
    connections = server.connections
    assert send(config, MINUTE) == 0
    assert server.connections == connections
    monkeypatch.undo()
    assert send(config, 2 * MINUTE) == 1
    notice.refresh_from_db()
    assert (notice.attempts, notice.error, notice.reported_at) == (0, "", NOW + 2 * MINUTE)
    (finding,) = check_notifications(config, NOW)
    assert finding.message == "Problems are reported to 2 addresses."


def test_fail_no_server_listens_and_the_end_of_a_problem_is_tried_again(
    server: MailServer, config: Configuration
) -> None:
    make_failures()
    assert send(config) == 1
    make_run(**CRON, started_at=NOW)
    closed = make_config(server, SCAIWAVE_EMAIL_URL="smtp://127.0.0.1:1")
    assert send(closed, MINUTE) == 0
    assert "Connection refused" in Notice.objects.get().error
    assert send(config, 3 * MINUTE) == 1
    assert not Notice.objects.exists()


def test_fail_attempts_are_an_hour_apart_at_most(server: MailServer, config: Configuration) -> None:
    make_failures()
    Notice.objects.create(topic="sync_failing", seen_at=NOW, attempts=50, attempted_at=NOW)
    assert [send(config, 59 * MINUTE), send(config, HOUR)] == [1, 1]
    assert [subject.removeprefix("[chat.example.com] ") for subject in server.subjects] == [
        "The sync is overdue",  # by then
        "Syncs fail",
    ]


def test_fail_all_attempts_of_one_time_share_its_limit(
    server: MailServer, config: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news, "MAX_SECONDS", 1.2)
    make_failures()
    server.behaviours = ["hang", "hang"]
    began = time.monotonic()
    assert send(config, 24 * HOUR) == 0
    assert time.monotonic() - began < mail.SOCKET_SECONDS
    assert sorted(notice.attempts for notice in Notice.objects.all()) == [0, 0, 1]


def test_fail_a_name_in_the_url_and_its_password(server: MailServer) -> None:
    url = f"smtp://user:pass%2Fword-of-mail@127.0.0.1:{server.port}"
    server.behaviours = ["deny"]
    with pytest.raises(MailRefused) as caught:
        send_mail(make_config(server, SCAIWAVE_EMAIL_URL=url), "Test", "body")
    assert caught.value.message.endswith("refused the e-mail: 535 5.7.8 Wrong user or password.")
    assert (caught.value.code, caught.value.exit_code) == ("SW_MAIL_REFUSED", 2)


@pytest.mark.parametrize("scheme", ["smtp+tls", "smtp+ssl"])
def test_fail_a_server_without_tls_gets_nothing(scheme: str, server: MailServer) -> None:
    url = server.url.replace("smtp", scheme)
    with pytest.raises((MailRefused, MailUnreachable)):
        send_mail(make_config(server, SCAIWAVE_EMAIL_URL=url), "Test", "body")
    assert server.messages == []


# Two at once


@pytest.mark.django_db(transaction=True)
def test_success_two_at_once_send_one(server: MailServer, config: Configuration) -> None:
    make_failures()
    sent = run_concurrently(*[lambda: send(config)] * 4)
    assert sum(sent) == len(server.messages) == 1


# At the end of a sync


def sync(sandbox: Sandbox, settings: Settings, server: MailServer, **options: Any) -> Any:
    settings.CONFIG = make_config(
        server,
        SCAIWAVE_HOME=str(settings.HOME),
        SCAIWAVE_SCAIKEY_URL=sandbox.url,
        SCAIWAVE_SCAIKEY_CLIENT_ID=sandbox.client_id,
        SCAIWAVE_SCAIKEY_CLIENT_SECRET=sandbox.client_secret,
        SCAIWAVE_SYNC_INTERVAL_MINUTES="10",
    )
    return run_sync(replace(SyncOptions(HOST), **options))


@pytest.mark.sandbox(partners=1, tenants=1, people=2, groups=0)
@pytest.mark.parametrize("behaviour", ["accept", "hang", "busy"])
def test_success_a_sync_sends_and_never_fails_because_of_it(
    behaviour: str,
    sandbox: Sandbox,
    settings: Settings,
    server: MailServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if behaviour == "hang":
        monkeypatch.setattr(news, "MAX_SECONDS", 1.2)
    Notice.objects.create(topic="sync_overdue", seen_at=NOW, reported_at=NOW)
    server.behaviours = [behaviour]
    assert sync(sandbox, settings, server, dry_run=True).outcome == "planned"
    assert server.connections == 0
    assert sync(sandbox, settings, server).outcome == "applied"
    assert server.connections == 1
    expected = ["[chat.example.com] Resolved: The sync is overdue"] * (behaviour == "accept")
    assert server.subjects == expected


@pytest.mark.sandbox(partners=1, tenants=1, people=2, groups=0)
def test_fail_the_second_failed_sync_is_reported_at_its_end(
    sandbox: Sandbox, settings: Settings, server: MailServer
) -> None:
    settings.CONFIG = make_config(server, SCAIWAVE_SCAIKEY_URL="http://127.0.0.1:1")
    for number in range(3):
        with pytest.raises(ScaiWaveError):
            run_sync(SyncOptions(HOST))
        failing = [subject for subject in server.subjects if "Syncs fail" in subject]
        assert len(failing) == (number > 0)


@pytest.mark.sandbox(partners=1, tenants=1, people=2, groups=0)
def test_fail_a_defect_does_not_fail_the_sync(
    sandbox: Sandbox,
    settings: Settings,
    server: MailServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(news, "find_problems", fail)
    assert sync(sandbox, settings, server).outcome == "applied"
    assert "ZeroDivisionError" in caplog.text


# The test notification


def test_success_a_test_is_sent_to_each_address(
    server: MailServer, config: Configuration, settings: Settings
) -> None:
    settings.CONFIG = config
    assert run_command("send_test_notification") == (
        f"127.0.0.1:{server.port} accepted a test e-mail to anna@example.com.\n"
        f"127.0.0.1:{server.port} accepted a test e-mail to otto@example.com.\n"
    )
    assert [message["To"] for message in server.messages] == [
        "anna@example.com",
        "otto@example.com",
    ]
    assert server.subjects == ["[chat.example.com] Test"] * 2
    document = json.loads(run_command("send_test_notification", "--json"))
    assert match(document, read_page()["admin", "send-test-notification"])
    assert document == {
        "notification": {
            "server": f"127.0.0.1:{server.port}",
            "sender": "scaiwave@chat.example.com",
            "recipients": ["anna@example.com", "otto@example.com"],
        }
    }


def test_fail_the_test_reports_the_answer(server: MailServer, config: Configuration) -> None:
    server.behaviours = ["accept", "reject"]
    with pytest.raises(MailRefused, match=r"550 5\.1\.1 No such user  here\.$"):
        send_test_notification(operator=HOST, config=config)
    assert len(server.messages) == 1


def test_fail_an_answer_is_cut_before_it_is_searched_for_secrets(
    server: MailServer, config: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[int] = []
    mask = Configuration.mask_secrets

    def count(self: Configuration, text: str) -> str:
        searched.append(len(text))
        return mask(self, text)

    monkeypatch.setattr(Configuration, "mask_secrets", count)
    for server.flood_lines in (100, 400):
        server.behaviours = ["flood"]
        with pytest.raises(MailRefused, match=r": 550 a{70} a{70} a{70} a{70} a{16}\.$"):
            send_mail(config, "Test", "Body")
    assert searched[0] == searched[1] < 5000
    server.behaviours, server.flood_lines = ["flood"], 60_000
    with pytest.raises(MailUnreachable, match=r": its answer is longer than 256 KB\.$"):
        send_mail(config, "Test", "Body")


INVALID = {
    "SCAIWAVE_NOTIFY_EMAIL": ("anna", "anna@example.com,\x07@example.com", "a@b@c"),
    "SCAIWAVE_EMAIL_FROM": ("ops", "A\nBcc: eve@example.com <a@example.com>"),
    "SCAIWAVE_EMAIL_URL": (
        *("mail.example.com", "https://mail.example.com", "smtps://mail.example.com"),
        *("smtp://", "smtp://host:99999", "consolemail://", "smtp://[::1"),
    ),
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in INVALID.items() for value in values]
)
def test_fail_invalid_settings(
    name: str, value: str, server: MailServer, settings: Settings
) -> None:
    config = settings.CONFIG = make_config(server, **{name: value})
    with pytest.raises(SettingInvalid, match=name):
        send_test_notification(operator=HOST, config=config)
    (error,) = [each for each in check_configuration(None) if name in each.msg]
    assert error.id == "scaiwave.E001"


def test_fail_no_addresses(server: MailServer, settings: Settings) -> None:
    config = settings.CONFIG = make_config(server, SCAIWAVE_NOTIFY_EMAIL="")
    with pytest.raises(SettingMissing, match="SCAIWAVE_NOTIFY_EMAIL is not set"):
        send_test_notification(operator=HOST, config=config)
    assert list(check_notifications(config, NOW)) == []
    news.report_problems()
    assert server.connections == 0


def test_success_a_sender_with_a_name_and_defaults(server: MailServer, home: Path) -> None:
    config = make_config(server, SCAIWAVE_EMAIL_FROM="ScaiWave <ops@example.com>")
    send_mail(config, "Grüße", "body")
    assert server.messages[0]["From"] == "ScaiWave <ops@example.com>"
    assert server.subjects == ["[chat.example.com] Grüße"]
    local = load({"SCAIWAVE_NOTIFY_EMAIL": "root@example.com", "SCAIWAVE_HOME": str(home)})
    loaded = load_mail_settings(local)
    assert (loaded.address, loaded.sender) == ("localhost:25", "scaiwave@localhost")
