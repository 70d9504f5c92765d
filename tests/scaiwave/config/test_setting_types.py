"""Values are read as what they are meant to be, and refused without being repeated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from scaiwave.config import Configuration
from scaiwave.core.errors import SettingInvalid
from tests.scaiwave.cli_helpers import run_scaiwave
from tests.scaiwave.config.test_configuration import configured

READERS: dict[str, Callable[[Configuration, str], object]] = {
    "SCAIWAVE_SYNC_REMOVAL_LIMIT": Configuration.get_int,
    "SCAIWAVE_SYNC_REMOVAL_SHARE": Configuration.get_fraction,
    "SCAIWAVE_REQUIRE_ADMIN_TOKEN": Configuration.get_bool,
    "SCAIWAVE_LOG_FORMAT": Configuration.get_choice,
    "SCAIWAVE_LOG_LEVEL": Configuration.get_choice,
    "SCAIWAVE_PUBLIC_URL": Configuration.get_url,
}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("SCAIWAVE_SYNC_REMOVAL_LIMIT", "30", 30),
        ("SCAIWAVE_SYNC_REMOVAL_SHARE", "0.5", 0.5),
        ("SCAIWAVE_REQUIRE_ADMIN_TOKEN", "Yes", True),
        ("SCAIWAVE_REQUIRE_ADMIN_TOKEN", "off", False),
        ("SCAIWAVE_LOG_FORMAT", "JSON", "json"),
        ("SCAIWAVE_LOG_LEVEL", "debug", "DEBUG"),
        ("SCAIWAVE_PUBLIC_URL", "https://chat.example.com/", "https://chat.example.com"),
        ("SCAIWAVE_PUBLIC_URL", "http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_success_kinds(name: str, text: str, value: object, tmp_path: Path) -> None:
    assert READERS[name](configured(tmp_path, **{name: text}), name) == value


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("SCAIWAVE_SYNC_REMOVAL_LIMIT", "many", "a whole number"),
        ("SCAIWAVE_SYNC_REMOVAL_LIMIT", "-1", "a whole number, 0 or more"),
        ("SCAIWAVE_SYNC_REMOVAL_SHARE", "x", "a number between 0 and 1"),
        ("SCAIWAVE_SYNC_REMOVAL_SHARE", "1.1", "a number between 0 and 1"),
        ("SCAIWAVE_SYNC_REMOVAL_SHARE", "nan", "a number between 0 and 1"),
        ("SCAIWAVE_REQUIRE_ADMIN_TOKEN", "ture", "true or false"),
        ("SCAIWAVE_LOG_FORMAT", "xml", "one of text, json"),
        *(
            ("SCAIWAVE_PUBLIC_URL", text, "a URL such as https://name.example.com")
            for text in (
                "chat.example.com",
                "ftp://chat.example.com",
                "https://:443",
                "https://chat example.com",
                "https://chat.example.com:port",
                "http://[::1",
                "https://user:password@chat.example.com",
            )
        ),
    ],
)
def test_fail_kinds(name: str, text: str, wanted: str, tmp_path: Path) -> None:
    with pytest.raises(SettingInvalid) as caught:
        READERS[name](configured(tmp_path, **{name: text}), name)
    assert caught.value.message.startswith(f"{name} is not {wanted.partition(',')[0]}")
    assert caught.value.fix.startswith(f"Set {name} to {wanted.partition(',')[0]}")
    assert text not in caught.value.message + caught.value.fix


@pytest.mark.parametrize(
    ("name", "maximum"),
    [
        ("SCAIWAVE_SYNC_REMOVAL_LIMIT", 2**31 - 1),
        ("SCAIWAVE_SYNC_VALUES_RETENTION_DAYS", 20_000),
        ("SCAIWAVE_SYNC_INTERVAL_MINUTES", 1_000_000),
        ("SCAIWAVE_SYNC_LOCK_SECONDS", 2_000_000),
    ],
)
def test_fail_numbers_that_are_no_date_or_time_out(name: str, maximum: int, tmp_path: Path) -> None:
    assert configured(tmp_path, **{name: str(maximum)}).get_int(name) == maximum
    with pytest.raises(SettingInvalid) as caught:
        configured(tmp_path, **{name: str(maximum + 1)}).get_int(name)
    assert caught.value.message == f"{name} is not a whole number, {maximum:,} or less."


NO_NETWORK, TOO_WIDE = "it is not an address or a network", "it is wider than any private network"
NO_CLIENT = "it matches no client: use the IPv4 form of an IPv4 address, and no zone"


def test_success_networks(tmp_path: Path) -> None:
    text = " 10.0.0.5, 192.0.2.0/28 ,fd00::/64,,::1,fc00::/7"
    config = configured(tmp_path, SCAIWAVE_TRUSTED_PROXIES=text)
    networks = config.get_networks("SCAIWAVE_TRUSTED_PROXIES")
    expected = ["10.0.0.5/32", "192.0.2.0/28", "fd00::/64", "::1/128", "fc00::/7"]
    assert list(map(str, networks)) == expected


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("10.0.0.5/8", "the network of that address is 10.0.0.0/8"),
        ("10.0.0.0/33", NO_NETWORK),
        ("10.0.0", NO_NETWORK),
        ("proxy.example.com", NO_NETWORK),
        ("10.0.0.5:80", NO_NETWORK),
        ("0.0.0.0/0", TOO_WIDE),
        ("::/0", TOO_WIDE),
        ("0.0.0.0/1,128.0.0.0/1", TOO_WIDE),
        ("fc00::/6", TOO_WIDE),
        ("::ffff:10.0.0.0/104", NO_CLIENT),
        ("fe80::1%eth0", NO_CLIENT),
    ],
)
def test_fail_networks(entry: str, reason: str, tmp_path: Path) -> None:
    config = configured(tmp_path, SCAIWAVE_TRUSTED_PROXIES=f"127.0.0.1,{entry},::1")
    with pytest.raises(SettingInvalid) as caught:
        config.get_networks("SCAIWAVE_TRUSTED_PROXIES")
    first = entry.partition(",")[0]
    assert caught.value.message == f"SCAIWAVE_TRUSTED_PROXIES contains {first!r}: {reason}."
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("words", [("doctor",), ("manage", "check"), ("admin", "list-tenants")])
def test_fail_a_wrong_proxy_ends_each_command(words: tuple[str, ...], home: Path) -> None:
    ended = run_scaiwave(*words, SCAIWAVE_TRUSTED_PROXIES="127.0.0.1,lb.example.com")
    assert ended.code == 2
    assert "SCAIWAVE_TRUSTED_PROXIES contains 'lb.example.com'" in ended.err
    assert "Fix: Set SCAIWAVE_TRUSTED_PROXIES to addresses and networks" in ended.err
