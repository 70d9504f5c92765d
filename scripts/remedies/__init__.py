"""What each `SW_…` code means and what to do, where the error's class does not say it.

Written by hand for operators: code -> (meaning, remedy). An empty text leaves it to the first
paragraph of the class's docstring, or to its `fix`.
"""

from __future__ import annotations

from scripts.remedies import identity, machine, rooms, servers, tenants

Words = tuple[str, str]

REMEDIES: dict[str, Words] = {}
for _area in (machine, identity, tenants, rooms, servers):
    REMEDIES |= _area.REMEDIES
