"""Write, read, apply and change plans of a sync."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.utils.crypto import salted_hmac

from identity_sync.report import SyncReport
from identity_sync.sync.record import plan_file
from identity_sync.sync.variants import apply_sync_plan, write_sync_plan
from scaiwave.sandbox import Sandbox
from tests.identity_sync.sync.helpers import (
    HOST,
    list_groups,
    list_people,
    make_options,
    sync,
)


def make_plan(path: Path, **options: Any) -> SyncReport:
    operator = options.pop("operator", HOST)
    return write_sync_plan(make_options(operator, **options), path)


def apply(path: Path, **options: Any) -> SyncReport:
    operator = options.pop("operator", HOST)
    return apply_sync_plan(make_options(operator, **options), path)


def read_plan(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def remove_people(sandbox: Sandbox, number: int) -> list[str]:
    """Remove people across all tenants, without groups; return their ScaiKey IDs."""
    for group in list_groups(sandbox):
        sandbox.directory.remove_group(group["id"])
    sync(allow_removals=10_000)
    people = [row["id"] for row in list_people(sandbox)]
    removed = people[:: len(people) // number][:number]
    for person in removed:
        sandbox.directory.remove_user(person)
    return removed


def edit(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def change_file(path: Path) -> None:
        path.write_bytes(change(path.read_bytes()))

    return change_file


def sign(path: Path, head: dict[str, Any], removals: str = "") -> None:
    """Write a plan with a valid signature, whatever it has."""
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in head.items())
    text = f'{{\n{lines},\n"removals": [\n{removals}],\n"changes": [\n'
    mac = salted_hmac(plan_file._SALT, b"", algorithm="sha256")
    mac.update(text.encode())
    path.write_text(f'{text}],\n"signature": "{mac.hexdigest()}"\n}}\n')
