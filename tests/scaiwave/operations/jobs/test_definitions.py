"""Types of jobs, and cron lines in words."""

from __future__ import annotations

import pytest

from scaiwave.config import load
from scaiwave.queue.definitions import describe_cron
from scaiwave.queue.jobs import JOBS


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("3-59/10 * * * *", "every 10 minutes, from minute 3 of the hour"),
        ("7 * * * *", "every hour at minute 7"),
        ("3 4 * * *", "every day at 4:03"),
        ("3 4 * * 1", "3 4 * * 1"),
        ("", ""),
    ],
)
def test_success_cron_lines_in_words(cron: str, words: str) -> None:
    assert describe_cron(cron) == words


def test_success_every_job_says_when_it_runs_and_what_does_the_same() -> None:
    config = load({})
    for definition in JOBS.values():
        assert bool(definition.cron) is bool(definition.command)
        assert bool(definition.cron) is not bool(definition.occasion)
        if not definition.is_scheduled(config):
            assert definition.why_off.endswith(".")
