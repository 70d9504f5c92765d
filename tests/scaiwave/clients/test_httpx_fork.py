"""The HTTP clients also work with the maintained fork of httpx."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.scaiwave.cli_helpers import CHECKOUT
from tests.tools import NIGHTLY

pytestmark = [pytest.mark.once, pytest.mark.skipif(not NIGHTLY, reason="only at night")]

FILES = ("tests/scaiwave/clients", "tests/identity_sync/sync/fetch/test_faults.py")
# The fork has an error of server-sent events, which the suite does not read.
OTHER = "test_success_every_exception_of_httpx_is_mapped"


def test_success_the_tests_of_the_clients_pass_with_the_fork() -> None:
    # The fork imports anyio before pytest, whose plugin that is, could rewrite its assertions.
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-p", "tests.httpx_fork"),
        *("-p", "no:randomly", "-W", "ignore::pytest.PytestAssertRewriteWarning"),
    ]
    result = subprocess.run(
        [*command, "-k", f"not {OTHER} and not httpx_fork", *FILES],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-5_000:]
    assert " passed" in result.stdout
