"""Mutations that persist across a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaiwave.sandbox import Sandbox
from scaiwave.sandbox.data.directory import Directory
from scaiwave.sandbox.data.population import EVERYTHING
from scaiwave.sandbox.errors import ForeignState, InvalidMutation
from tests.scaiwave.sandbox.helpers import SMALL


def list_people(directory: Directory) -> list[str]:
    return directory.list_users(EVERYTHING, 0, 10_000)[0]


def test_success_restart_with_state(tmp_path: Path) -> None:
    sandbox = Sandbox(**SMALL, state_dir=tmp_path / "state")
    tenant = sandbox.mutate("add_tenant", name="New", slug="new")
    user = sandbox.mutate("add_user", tenant_id=tenant, display_name="Ødipa")
    sandbox.mutate("change_share", share=0.1)
    with pytest.raises(InvalidMutation):
        sandbox.mutate("add_tenant", name="New", slug="new")
    before = list_people(sandbox.directory)

    again = Sandbox(**SMALL, state_dir=tmp_path / "state")

    assert list_people(again.directory) == before
    assert again.directory.get("user", user)["display_name"] == "Ødipa"
    assert again.directory.get("tenant", tenant)["slug"] == "new"
    assert list_people(Sandbox(**SMALL).directory) != before


def test_success_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    Sandbox(**SMALL, state_dir=tmp_path).mutate("add_partner", name="New", slug="new")
    file = tmp_path / "mutations.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"op":"add_par')

    sandbox = Sandbox(**SMALL, state_dir=tmp_path)

    assert file.read_bytes() == whole
    assert sandbox.directory.get_by_slug("partner", "new")["name"] == "New"


def test_fail_state_of_another_directory(tmp_path: Path) -> None:
    Sandbox(**SMALL, state_dir=tmp_path)

    with pytest.raises(ForeignState) as caught:
        Sandbox(**{**SMALL, "people": 131}, state_dir=tmp_path)

    assert caught.value.message == (
        f"State directory belongs to another sandbox: {tmp_path / 'mutations.jsonl'}, "
        "--seed 7, --partners 3, --tenants 4, --people 130, --groups 30."
    )
    assert caught.value.fix == "Use these options or another --state-dir, or delete the file."
