"""Change the files of an export, and sign its index again."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from rooms.exports.export_room import load_signer
from rooms.models import TenantImport
from scaiwave.core.errors import ScaiWaveError
from tenants.models import AuditEntry, Participant, Tenant
from tests.rooms.bundle.factories import encode_manifest
from tests.rooms.increments.histories import read_manifest
from tests.rooms.increments.test_hostile import make_unsigned
from tests.rooms.moves.factories import (
    bring,
    read_index,
    tick,
    verify,
)

Index = dict[str, Any]


Change = Callable[[Path, Index], object]


def sign(directory: Path, index: Index) -> None:
    """Sign as a server would whose key is trusted, and whose operator is not honest."""
    signer = load_signer(tick())
    assert signer is not None
    index.pop("signature", None)
    index["signature"] = base64.b64encode(signer.sign(rfc8785.dumps(index))).decode()
    (directory / "index.json").write_bytes(rfc8785.dumps(index))


def rewrite(name: str, change: Callable[[list[Any]], object]) -> Change:
    """Change the rows of a table, and list the new file."""

    def apply(directory: Path, index: Index) -> None:
        path = directory / f"rows/0000/{name}.jsonl"
        rows = [json.loads(line) for line in path.read_bytes().splitlines()]
        changed = change(rows)
        rows = changed if isinstance(changed, list) else rows
        data = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        path.write_bytes(data)
        listed = {"sha256": sha256(data).hexdigest(), "size": len(data), "rows": len(rows)}
        index["files"][name] = listed

    return apply


def forge(directory: Path, *changes: Change) -> None:
    index = read_index(directory)
    for change in changes:
        change(directory, index)
    sign(directory, index)


def rewrite_room(change: Callable[[Any], object]) -> Change:
    """Change the manifest of the room of type dm."""

    def apply(directory: Path, index: Index) -> None:
        room = next(room for room in index["rooms"] if room["room_type"] == "dm")
        path = directory / f"rooms/{room['id']}/0000.zip"
        change(manifest := read_manifest(path))
        path.write_bytes(make_unsigned(path, manifest))
        (link,), room["events"] = room["links"], len(manifest["events"])
        link |= {"sha256": sha256(path.read_bytes()).hexdigest(), "size": path.stat().st_size}
        link["manifest_sha256"] = sha256(encode_manifest(manifest)).hexdigest()

    return apply


def refuses(directory: Path, code: str = "") -> None:
    counts = Tenant.objects.count(), Participant.objects.count(), AuditEntry.objects.count()
    for act in (verify, bring):
        with pytest.raises(ScaiWaveError) as caught:
            act(directory)
        if code:
            assert caught.value.code == code, caught.value
    now = Tenant.objects.count(), Participant.objects.count(), AuditEntry.objects.count()
    assert now == counts
    assert not TenantImport.objects.exists()


def set_value(rows: list[Any], **values: Any) -> None:
    rows[0].update(values)
