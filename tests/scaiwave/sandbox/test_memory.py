"""The sandbox's memory does not depend on the number of people."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.tools import NIGHTLY

pytestmark = [pytest.mark.once, pytest.mark.fresh_interpreter]

# Reads pages from the whole directory, with and without filter, in a separate process.
PROGRAM = """
import resource, sys
from scaiwave.sandbox import Sandbox
from scaiwave.sandbox.data.population import EVERYTHING, ListFilter
sandbox = Sandbox(people=int(sys.argv[1]), groups=600)
directory = sandbox.directory
tenant = next(iter(directory.tenants))
for list_filter in (EVERYTHING, ListFilter(tenant_id=tenant), ListFilter(kind="SUSPENDED")):
    total = directory.list_users(list_filter, 0, 0)[1]
    for offset in range(0, total, max(100, total // 50)):
        assert directory.list_users(list_filter, offset, 100)[0]
directory.change_share(100 / int(sys.argv[1]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def measure_peak_memory(people: int) -> int:
    """Return the peak resident memory in KiB."""
    command = [sys.executable, "-c", PROGRAM, str(people)]
    return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def test_success_memory_does_not_grow_with_people() -> None:
    people = 1_000_000 if NIGHTLY else 100_000
    small, big = measure_peak_memory(10_000), measure_peak_memory(people)

    assert big < small * 1.05 + 1024
