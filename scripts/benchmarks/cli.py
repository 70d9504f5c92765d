"""`scripts/bench cli`: how long the console script takes to begin.

Compares, in the same environment and by turns,

    scaiwave --help               with   python -c pass
    scaiwave admin list-tenants   with   a bare django.setup() with the same applications

where a home with 12 tenants is read. The ratio of the medians counts; times are in milliseconds.
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

from scripts.benchmarks.measure import aligned, describe_machine
from tests.environment import own_settings

TENANTS = 12
# The console script beside the interpreter, as people call it.
SCRIPT = str(Path(sys.executable).with_name("scaiwave"))
BARE_SETUP = """
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
FILL = f"""
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
    """What is measured, beside what, and how many times as long it may take."""

    name: str
    command: list[str]
    beside: str
    bare: list[str]
    aim: float


CASES = (
    Case(
        "scaiwave --help", [SCRIPT, "--help"], "python -c pass", [sys.executable, "-c", "pass"], 3
    ),
    Case(
        "scaiwave admin list-tenants",
        [SCRIPT, "admin", "list-tenants"],
        "bare django.setup()",
        [sys.executable, "-c", BARE_SETUP],
        1.3,
    ),
)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/bench cli",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--runs", type=int, default=21, help="of each (default 21)")
    runs = parser.parse_args().runs
    print(describe_machine(f"medians of {runs} runs"), end="\n\n")
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, **own_settings(Path(home))}
        environment["DJANGO_SETTINGS_MODULE"] = "scaiwave.settings"
        subprocess.run([sys.executable, "-c", FILL], env=environment, check=True)
        rows = [_row(case, *_measured(case, environment, runs)) for case in CASES]
    print(aligned(("", "ms", "", "ms", "ratio", "aim"), rows))
    return 0


def _measured(case: Case, environment: dict[str, str], runs: int) -> tuple[float, float]:
    """Medians in seconds. By turns, so that whatever slows the machine slows both."""
    times: tuple[list[float], list[float]] = ([], [])
    for run in range(runs + 1):
        for command, taken in zip((case.command, case.bare), times, strict=True):
            began = time.perf_counter()
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
            if run:  # the first one reads from the disk and compiles
                taken.append(time.perf_counter() - began)
    return median(times[0]), median(times[1])


def _row(case: Case, taken: float, bare: float) -> tuple[str, ...]:
    return (
        case.name,
        f"{taken * 1000:.0f}",
        case.beside,
        f"{bare * 1000:.0f}",
        f"{taken / bare:.2f}",
        f"≤ {case.aim:g}",
    )


if __name__ == "__main__":
    sys.exit(main())
