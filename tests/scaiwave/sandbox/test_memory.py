"""A bigger directory costs no more memory than a smaller one."""

from __future__ import annotations

import subprocess
import sys

# Touches pages all over the directory, with and without filter, in a process of its own.
PROGRAM = """
import resource, sys
from scaiwave.sandbox import Sandbox
from scaiwave.sandbox.data.population import EVERYTHING, ListFilter
sandbox = Sandbox(people=int(sys.argv[1]), groups=600)
directory = sandbox.directory
tenant = next(iter(directory.tenants))
for where in (EVERYTHING, ListFilter(tenant_id=tenant), ListFilter(kind="SUSPENDED")):
    total = directory.user_list(where, 0, 0)[1]
    for offset in range(0, total, max(100, total // 50)):
        assert directory.user_list(where, offset, 100)[0]
directory.change_share(100 / int(sys.argv[1]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(people: int) -> int:
    """Peak resident memory in KiB."""
    command = [sys.executable, "-c", PROGRAM, str(people)]
    return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def test_success_memory_does_not_grow_with_people() -> None:
    small, big = peak(10_000), peak(1_000_000)

    assert big < small * 1.05 + 1024
