"""Each position in a tenant's stream is handed out once, also to concurrent imports."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import pytest

from rooms.models import StreamCounter
from rooms.stream_positions import reserve_positions
from tests.rooms.imports.factories import make_home
from tests.rooms.imports.import_environment import ImportEnvironment
from tests.scaiwave import row_factories
from tests.scaiwave.cli_helpers import CHECKOUT

TAKE = """
import sys, django
django.setup()
from rooms.stream_positions import reserve_positions
sys.stdin.readline()
for _ in range(40):
    print(reserve_positions(sys.argv[1], 7))
"""


@pytest.mark.django_db
def test_success_blocks_are_consecutive() -> None:
    tenant, other = row_factories.make_tenant(), row_factories.make_tenant("other")
    assert [reserve_positions(tenant.pk, count) for count in (3, 5, 1)] == [1, 4, 9]
    assert reserve_positions(other.pk, 2) == 1
    assert StreamCounter.objects.get(tenant=tenant).last_position == 9


@pytest.mark.django_db
def test_success_positions_are_above_those_of_the_platform() -> None:
    home = make_home()
    room = row_factories.make_room(home.workspace, home.anna)
    row_factories.make_event(room, 700)
    assert reserve_positions(home.tenant.pk, 10) == 701
    row_factories.make_event(room, 705)
    assert reserve_positions(home.tenant.pk, 10) == 711


def test_success_two_processes_get_different_positions(site: ImportEnvironment) -> None:
    ((tenant,),) = site.rows("SELECT id FROM sw_tenants")
    takers = [_python(TAKE, str(tenant)) for _ in range(2)]
    for taker in takers:
        assert taker.stdin
        taker.stdin.write("go\n")
        taker.stdin.flush()
    outputs = [taker.communicate(timeout=60)[0] for taker in takers]
    assert [taker.returncode for taker in takers] == [0, 0]
    firsts = sorted(int(line) for text in outputs for line in text.split())
    assert firsts[0] == 1
    assert {b - a for a, b in pairwise(firsts)} == {7}
    assert len(firsts) == 80


def _python(code: str, *arguments: str) -> subprocess.Popen[str]:
    prepared = f"import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'scaiwave.settings'\n{code}"
    return subprocess.Popen(
        [sys.executable, "-c", prepared, *arguments],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
