"""The locks agree: a package has one version in all of them, except for Django's."""

from __future__ import annotations

import re
from collections import defaultdict

from tests.scaiwave.cli_helpers import CHECKOUT

PIN = re.compile(r"^([\w.-]+)==(\S+)", re.MULTILINE)
BY_DJANGO = {"django", "django-stubs", "django-stubs-ext"}
"""The long-term release of Django has a lock of its own, with what depends on its version."""


def test_success_one_version_of_each_package() -> None:
    versions: dict[str, set[str]] = defaultdict(set)
    locks = sorted((CHECKOUT / "scripts/requirements").glob("*.txt"))
    assert len(locks) == 5
    for lock in locks:
        pins = PIN.findall(lock.read_text(encoding="utf-8"))
        assert pins, lock
        for name, version in pins:
            versions[name].add(version)
    different = {name for name, found in versions.items() if len(found) > 1}
    assert different <= BY_DJANGO
