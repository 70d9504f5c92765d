"""`scripts/bench cli`: measure the start-up time of the console script.

Compares, in the same environment and alternately,

    scaiwave --help               with   python -c pass
    scaiwave admin list-tenants   with   a bare django.setup() with the same applications

on a database with 12 tenants. Times are medians in milliseconds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from scripts.benchmarks.metrics import describe_host, format_table
from tests.settings_env import own_settings

TENANTS = 12
# The console script next to the interpreter.
SCRIPT = str(Path(sys.executable).with_name("scaiwave"))
BASELINE_SETUP = """
from django.conf import settings
settings.configure(
    INSTALLED_APPS=[
        "django.contrib.contenttypes", "django.contrib.auth",
        "scaiwave", "tenants", "federation", "rooms", "identity_sync",
    ],
    AUTH_USER_MODEL="tenants.AdminUser",
    PROFILE="cli",
)
import django
django.setup()
"""
FILL_PROGRAM = f"""
import django
django.setup()
from django.core.management import call_command
from django.utils import timezone
from tenants.models import Partner, Tenant
call_command("migrate", verbosity=0)
now = timezone.now()
partner = Partner.objects.create(slug="north", name="Nörth Wind", created_at=now, updated_at=now)
for number in range({TENANTS}):
    Tenant.objects.create(
        slug=f"tenant-{{number}}", name=f"Tenänt {{number}}", partner=partner,
        created_at=now, updated_at=now,
    )
"""


@dataclass(frozen=True)
class Case:
    """A command, its baseline, and the maximum ratio of their times."""

    name: str
    command: list[str]
    baseline_name: str
    baseline: list[str]
    max_ratio: float


CASES = (
    Case(
        "scaiwave --help", [SCRIPT, "--help"], "python -c pass", [sys.executable, "-c", "pass"], 3
    ),
    Case(
        "scaiwave admin list-tenants",
        [SCRIPT, "admin", "list-tenants"],
        "bare django.setup()",
        [sys.executable, "-c", BASELINE_SETUP],
        1.3,
    ),
)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/bench cli",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--runs", type=int, default=21, help="runs of each command (default 21)")
    runs = parser.parse_args(arguments).runs
    print(describe_host(f"medians of {runs} runs"), end="\n\n")
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, **own_settings(Path(home))}
        environment["DJANGO_SETTINGS_MODULE"] = "scaiwave.settings"
        subprocess.run([sys.executable, "-c", FILL_PROGRAM], env=environment, check=True)
        rows = [_format_row(case, *_measure(case, environment, runs)) for case in CASES]
    print(format_table(("", "ms", "", "ms", "ratio", "target"), rows))
    return 0


def _measure(case: Case, environment: dict[str, str], runs: int) -> tuple[float, float]:
    """Return the medians in seconds. The runs alternate, so that other load slows both."""
    times: tuple[list[float], list[float]] = ([], [])
    for run in range(runs + 1):
        for command, seconds in zip((case.command, case.baseline), times, strict=True):
            started = time.perf_counter()
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
            if run:  # the first one reads from the disk and compiles
                seconds.append(time.perf_counter() - started)
    return median(times[0]), median(times[1])


def _format_row(case: Case, seconds: float, baseline: float) -> tuple[str, ...]:
    return (
        case.name,
        f"{seconds * 1000:.0f}",
        case.baseline_name,
        f"{baseline * 1000:.0f}",
        f"{seconds / baseline:.2f}",
        f"≤ {case.max_ratio:g}",
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
