"""Dotted paths that an earlier release has stored outside of the code still work."""

from __future__ import annotations

import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY
from django.utils.module_loading import import_string
from pytest_django import Settings
from redis import Redis

from scaiwave.core.operators import Permission
from scaiwave.operations.jobs.worker import SuiteWorker
from scaiwave.queue.jobs import JOBS
from scaiwave.queue.rq_queue import SuiteJob, SuiteQueue
from scaiwave.site.access import SCAIKEY_BACKEND, find_scaikey_operator
from scaiwave.web.session_values import OPERATOR_KEY
from tenants.accounts.oidc.backend import ScaiKeyBackend
from tests.queue_helpers import plant_call, take
from tests.scaiwave.site.scaikey_sessions import sign_in

BACKEND = "tenants.oidc.backend.ScaiKeyBackend"
"""In every session that a sign-in with ScaiKey has begun."""


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("scaiwave.jobs.rq_queue.SuiteQueue", SuiteQueue),
        ("scaiwave.jobs.rq_queue.SuiteJob", SuiteJob),
        ("scaiwave.jobs.worker.SuiteWorker", SuiteWorker),
        (BACKEND, ScaiKeyBackend),
    ],
)
def test_success_classes(path: str, value: type) -> None:
    assert import_string(path) is value


def test_fail_another_name_of_the_former_worker_module() -> None:
    with pytest.raises(ImportError):
        import_string("scaiwave.jobs.worker.OtherWorker")


def test_success_configuration_of_gunicorn_in_unit_files() -> None:
    assert import_module("scaiwave.web.gunicorn_config").wsgi_app == "scaiwave.wsgi"


def test_success_the_settings_name_the_backend_of_sessions(tmp_path: Path) -> None:
    """In a process of its own, since the settings of the tests register no sign-in."""
    registered = {
        "SCAIWAVE_HOME": str(tmp_path),
        "SCAIWAVE_PUBLIC_URL": "https://chat.example",
        "SCAIWAVE_SCAIKEY_URL": "https://id.example",
        "SCAIWAVE_SCAIKEY_CLIENT_ID": "client",
        "SCAIWAVE_SCAIKEY_CLIENT_SECRET": "secret",
        "SCAIWAVE_SCAIKEY_REDIRECT_URI": "https://chat.example/oidc/callback/",
    }
    code = "from scaiwave import settings; print(*settings.AUTHENTICATION_BACKENDS)"
    ended = subprocess.run(
        [sys.executable, "-c", code], env=registered, capture_output=True, text=True, check=True
    )
    assert BACKEND in ended.stdout.split()
    assert SCAIKEY_BACKEND == BACKEND


@pytest.mark.django_db
def test_success_sessions_stay_signed_in(settings: Settings) -> None:
    settings.AUTHENTICATION_BACKENDS = [*settings.AUTHENTICATION_BACKENDS, BACKEND]
    client = sign_in("super_admin")
    assert client.session[BACKEND_SESSION_KEY] == BACKEND
    assert client.get("/admin/").status_code == 200


@pytest.mark.django_db
def test_success_people_in_sessions_export_and_import_rooms_as_before(settings: Settings) -> None:
    """A session stores the role and no permission, so it has both that were one before."""
    settings.AUTHENTICATION_BACKENDS = [*settings.AUTHENTICATION_BACKENDS, BACKEND]
    client = sign_in("tenant_admin", tenant="tnt_acme")
    session = client.session
    session[OPERATOR_KEY] = {
        "name": "eve@example.com",
        "role": "tenant_admin",
        "partner_id": None,
        "tenant_id": "tnt_acme",
        "subject": "usr_tenant_admin",
        "expires_at": time.time() + 60,
    }
    session.save()
    request: Any = client.get("/admin/").wsgi_request
    operator = find_scaikey_operator(request)
    assert operator is not None
    operator.require(Permission.EXPORT_ROOMS)
    operator.require(Permission.IMPORT_ROOMS)


FUNCTIONS = (
    "tenants.jobs.refresh_usage",
    "tenants.jobs.purge_participants",
    "tenants.jobs.record_figures",
    "tenants.jobs.seal_audit",
    "tenants.jobs.prune_records",
    "rooms.jobs.backfill_search",
    "identity_sync.jobs.full_sync",
    "identity_sync.jobs.run_requested_sync",
    "identity_sync.jobs.process_webhooks",
)
"""Those that release 0.2.0 queued, and a worker may find after an upgrade."""


@pytest.mark.parametrize("function", FUNCTIONS)
def test_success_functions_of_queued_jobs(function: str) -> None:
    assert callable(import_string(JOBS[function].path))


@pytest.mark.redis
@pytest.mark.django_db(transaction=True)
def test_success_a_queued_job_of_a_function_that_has_moved(
    redis_url: str, settings: Settings
) -> None:
    settings.REDIS_URL = redis_url
    with Redis.from_url(redis_url) as redis:
        redis.flushdb()
        plant_call(redis, "prune_records-1", "tenants.jobs.prune_records")
        job = take(redis)
        assert job is not None
        assert set(job.perform()) >= {"sessions", "webhook_events"}
        redis.flushdb()
