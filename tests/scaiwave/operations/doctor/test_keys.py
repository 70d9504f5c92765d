from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from pytest_django import Settings

from federation.keys.lifecycle import generate_key, rotate_key
from federation.models import ServerKey
from scaiwave.config import load
from scaiwave.core.errors import SettingInvalid
from scaiwave.core.operators import get_host_operator
from scaiwave.operations.doctor.findings import State
from scaiwave.operations.doctor.keys import check_federation_keys, check_federation_settings
from tests.scaiwave.row_factories import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.dated]


@pytest.fixture(autouse=True)
def _encrypted(settings: Settings) -> None:
    settings.CONFIG = load({"SCAIWAVE_ENCRYPTION_KEYS": Fernet.generate_key().decode()})


def test_success_without_a_key_it_is_a_warning() -> None:
    (finding,) = check_federation_keys(load({}), NOW)
    assert (finding.state, finding.fix) == (
        State.WARN,
        "Run `scaiwave admin federation key generate`.",
    )


def test_success_a_key_that_signs() -> None:
    generate_key(operator=get_host_operator(), now=NOW)
    (finding,) = check_federation_keys(load({}), NOW)
    assert finding.state is State.PASS


def test_success_the_rotation_is_due() -> None:
    generate_key(operator=get_host_operator(), now=NOW)
    (finding,) = check_federation_keys(load({}), NOW + timedelta(days=340))
    assert (finding.state, finding.message) == (
        State.WARN,
        "The yearly rotation is due on 2027-03-04.",
    )


def test_fail_unreadable_key(settings: Settings) -> None:
    generate_key(operator=get_host_operator(), now=NOW)
    settings.CONFIG = load({"SCAIWAVE_ENCRYPTION_KEYS": Fernet.generate_key().decode()})
    (finding,) = check_federation_keys(load({}), NOW)
    key_id = ServerKey.objects.get().key_id
    assert (finding.state, finding.exit_code) == (State.FAIL, 2)
    assert key_id in finding.message


def test_fail_private_key_of_another_key() -> None:
    generate_key(operator=get_host_operator(), now=NOW)
    rotate_key(operator=get_host_operator(), now=NOW)
    one, two = ServerKey.objects.order_by("pk")
    ServerKey.objects.filter(pk=one.pk).update(private_key_encrypted=two.private_key_encrypted)
    findings = list(check_federation_keys(load({}), NOW))
    assert [(finding.state, finding.code) for finding in findings] == [
        (State.FAIL, "SW_FEDERATION_KEY_DAMAGED")
    ]
    assert one.key_id in findings[0].message


def test_success_valid_settings() -> None:
    config = load({"SCAIWAVE_SERVER_NAME": "Chat.example.com:8448"})
    (finding,) = check_federation_settings(config, NOW)
    assert (finding.state, finding.message) == (
        State.PASS,
        "Peers know this server as chat.example.com:8448.",
    )


def test_success_a_server_name_that_no_peer_can_reach() -> None:
    (finding,) = check_federation_settings(load({}), NOW)
    assert (finding.state, finding.message) == (
        State.PASS,
        "SCAIWAVE_SERVER_NAME is localhost, so no peer can reach this server.",
    )


def test_fail_invalid_server_name() -> None:
    with pytest.raises(SettingInvalid):
        list(check_federation_settings(load({"SCAIWAVE_SERVER_NAME": "https://a.example/"}), NOW))


def test_fail_invalid_networks() -> None:
    config = load({"SCAIWAVE_SERVER_NAME": "a.example", "SCAIWAVE_PEER_NETWORKS": "10.0.0.0/33"})
    findings = list(check_federation_settings(config, NOW))
    assert [finding.state for finding in findings] == [State.PASS, State.FAIL]
    assert (findings[1].code, findings[1].exit_code) == ("SW_CONFIG_INVALID", 2)
