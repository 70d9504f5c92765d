"""Types of jobs, and cron lines in words."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from scaiwave.config import load
from scaiwave.queue.definitions import describe_cron
from scaiwave.queue.jobs import JOBS


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("3-59/10 * * * *", "every 10 minutes, from minute 3 of the hour"),
        ("7 * * * *", "every hour at minute 7"),
        ("3 4 * * *", "every day at 4:03 UTC"),
        ("3 4 * * 1", "3 4 * * 1"),
        ("", ""),
    ],
)
def test_success_cron_lines_in_words(cron: str, words: str) -> None:
    assert describe_cron(cron) == words


def test_success_times_are_in_utc_in_any_time_zone() -> None:
    """Otherwise a job of an hour that comes twice, or not at all, would be skipped."""
    code = (
        "import django; django.setup()\n"
        "from datetime import UTC, datetime\nfrom rq.cron import CronJob\n"
        "rule = CronJob('default', func_name='x', cron='41 4 * * *')\n"
        "rule.latest_enqueue_time = datetime(2027, 3, 27, 12, tzinfo=UTC)\n"
        "print(rule.get_next_enqueue_time())"
    )
    output = subprocess.check_output(
        [sys.executable, "-c", code],
        text=True,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "scaiwave.settings", "TZ": "Europe/Berlin"},
    )
    assert output == "2027-03-28 04:41:00+00:00\n"


def test_success_every_job_says_when_it_runs_and_what_does_the_same() -> None:
    config = load({})
    for definition in JOBS.values():
        assert bool(definition.cron) is bool(definition.command)
        assert bool(definition.cron) is not bool(definition.occasion)
        if not (definition.is_scheduled(config) or definition.is_of_cron):
            assert definition.why_off.endswith(".")
