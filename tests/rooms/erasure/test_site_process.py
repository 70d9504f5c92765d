"""An export that is started in the admin site of a server without Redis."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.databases import copy_database
from tests.identity_sync.sync.processes import Server, wait_for
from tests.web_process import build_environment, run_python

pytestmark = pytest.mark.once
START = """
from django.utils import timezone
from federation.keys.lifecycle import generate_key
from rooms.erasure.tenant_tasks import start_export
from scaiwave.core.operators import get_host_operator
from tests.scaiwave.row_factories import make_tenant
operator, now = get_host_operator(), timezone.now()
generate_key(operator=operator, now=now)
task = start_export(
    operator=operator, tenant=make_tenant("acme").slug, confirm=lambda effect: None, now=now,
    details={"incremental": False, "freeze": False, "reason": "move"},
)
report(task.directory)
"""


def test_success_a_process_of_its_own_outlives_the_web_server(
    migrated: str, database_url: str, home: Path
) -> None:
    copy_database(migrated, database_url)
    server = Server(database_url)
    directory = run_python(START, build_environment(database_url, home))
    wait_for(lambda: server.rows("SELECT state FROM sw_tenant_tasks") == [("finished",)])
    assert Path(directory, "index.json").exists()
    assert Path(directory).parent == home / "exports"
