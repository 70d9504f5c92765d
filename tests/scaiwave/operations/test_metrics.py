"""`/metrics`: figures from the database and Redis, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from scaiwave.config import load
from scaiwave.operations.metrics import endpoint
from scaiwave.operations.metrics.collectors import Metric
from tenants.counters import increment_counter, increment_counters, read_counter
from tests.federation.factories import make_key
from tests.scaiwave.row_factories import make_row_of_every_model

pytestmark = [pytest.mark.django_db, pytest.mark.dated]


def read_metrics(
    client: Client | None = None, **headers: Any
) -> dict[str, dict[tuple[str, ...], float]]:
    """Return the samples by name and values of labels."""
    response = (client or Client()).get("/metrics", headers=headers)
    assert response.status_code == 200, response.content
    return {
        sample.name: {
            tuple(other.labels.values()): other.value
            for other in family.samples
            if other.name == sample.name
        }
        for family in text_string_to_metric_families(response.content.decode())
        for sample in family.samples
    }


def test_success_an_empty_server() -> None:
    samples = read_metrics()
    (labels,) = samples["scaiwave_build_info"]
    assert connection.vendor in labels
    assert samples["scaiwave_federation_signing_key"] == {(): 0}
    assert "scaiwave_sync_last_success_timestamp_seconds" not in samples
    assert set(samples["scaiwave_collector_failed"].values()) == {0}


def test_success_every_model_has_rows() -> None:
    make_row_of_every_model(1)
    samples = read_metrics()
    assert set(samples["scaiwave_collector_failed"].values()) == {0}
    assert samples["scaiwave_webhook_events_waiting"]


def test_success_key_age() -> None:
    make_key()
    samples = read_metrics()
    assert samples["scaiwave_federation_signing_key"] == {(): 1}
    assert samples["scaiwave_federation_key_age_days"][()] >= 0


def test_success_counters_add_up(django_capture_on_commit_callbacks: Any) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        increment_counter("room_exports")
        increment_counter("room_exports", 2)
        increment_counter("sync_changes", 5, kind="groups", action="added")
        increment_counter("sync_changes", 7, action="added", kind="groups")
    assert read_counter("room_exports") == [({}, 3)]
    assert read_counter("sync_changes") == [({"action": "added", "kind": "groups"}, 12)]
    assert read_metrics()["scaiwave_room_exports_total"] == {(): 3}


@pytest.mark.only_on("postgresql")
def test_success_counters_do_not_wait_for_the_disk(django_capture_on_commit_callbacks: Any) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        increment_counters({"room_exports": 1, "room_export_bytes": 700})
    assert read_counter("room_export_bytes") == [({}, 700)]
    # The setting of this transaction, which a test does not end.
    with connection.cursor() as cursor:
        cursor.execute("SHOW synchronous_commit")
        assert cursor.fetchone() == ("off",)


def test_success_a_part_that_fails_does_not_hide_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(now: datetime) -> Iterator[Metric]:
        yield Metric("half", "Half of it.", [({}, 1)])
        raise RuntimeError("no disk")

    monkeypatch.setattr(endpoint, "COLLECTORS", {**endpoint.COLLECTORS, "broken": fail})
    samples = read_metrics()
    assert samples["scaiwave_collector_failed"]["broken",] == 1
    assert "scaiwave_half" not in samples
    assert samples["scaiwave_federation_signing_key"]


@pytest.mark.parametrize(
    "request_values",
    [
        {"REMOTE_ADDR": "203.0.113.7"},
        {"REMOTE_ADDR": ""},
        {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
        {"HTTP_X_REAL_IP": "127.0.0.1"},
        {"HTTP_FORWARDED": "for=127.0.0.1"},
        {"HTTP_AUTHORIZATION": "Bearer wrong", "REMOTE_ADDR": "203.0.113.7"},
        {"HTTP_AUTHORIZATION": "Bearer ", "REMOTE_ADDR": "203.0.113.7"},
    ],
)
@pytest.mark.parametrize("token", ["", "t" * 40])
def test_fail_from_elsewhere(
    request_values: dict[str, Any], token: str, settings: Settings
) -> None:
    settings.CONFIG = load({"SCAIWAVE_METRICS_TOKEN": token})
    response = Client().get("/metrics", **request_values)
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "SW_METRICS_REFUSED"


@pytest.mark.parametrize("peer", ["127.0.0.1", "10.0.0.5"])
@pytest.mark.parametrize("named", ["203.0.113.7", "127.0.0.1", "127.0.0.1, 203.0.113.7", ""])
def test_fail_through_a_trusted_proxy(peer: str, named: str, settings: Settings) -> None:
    settings.TRUSTED_PROXIES = load(
        {"SCAIWAVE_TRUSTED_PROXIES": "127.0.0.1,10.0.0.5"}
    ).get_networks("SCAIWAVE_TRUSTED_PROXIES")
    response = Client(REMOTE_ADDR=peer).get("/metrics", headers={"X-Forwarded-For": named})
    assert response.status_code == 401


def test_success_token_from_elsewhere(settings: Settings) -> None:
    settings.CONFIG = load({"SCAIWAVE_METRICS_TOKEN": "t" * 40})
    client = Client(REMOTE_ADDR="203.0.113.7")
    assert read_metrics(client, authorization=f"Bearer {'t' * 40}")


def test_fail_wrong_token_from_this_host(settings: Settings) -> None:
    settings.CONFIG = load({"SCAIWAVE_METRICS_TOKEN": "t" * 40})
    response = Client().get("/metrics", headers={"authorization": "Bearer other"})
    assert response.status_code == 401


def test_fail_post() -> None:
    assert Client().post("/metrics").status_code == 405
