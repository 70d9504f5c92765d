"""The newest seal that this host has made, in a file outside of the database.

Someone who can write to the database can remove all seals with every trace of them. The file is in
the home directory of each host that has sealed; another host has none, and compares nothing.
"""

from __future__ import annotations

import json
import os
from hashlib import sha256
from pathlib import Path

from django.conf import settings
from django.db import connection

from tenants.audit.queries.checks import KeptSeal, parse_seal
from tenants.audit.queries.records import find_seal
from tenants.errors import AuditSealsLost


def get_path() -> Path:
    """Return the file for this database, which is known by its address and not by its content."""
    given = connection.settings_dict
    name = str(given["NAME"])
    if connection.vendor == "sqlite":
        name = os.path.realpath(name)
    address = json.dumps([connection.vendor, given["HOST"], str(given["PORT"]), name])
    digest = sha256(address.encode()).hexdigest()
    return Path(settings.HOME) / f"audit-seal-{digest[:16]}"


def find_lost_seal() -> AuditSealsLost | None:
    """Return the error of a log that lacks the seal that this host has made last."""
    path = get_path()
    try:
        text = path.read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return None
    # The file is read first: a seal is in the database before it is in the file.
    return (
        None
        if _is_in_log(text)
        else AuditSealsLost(
            f"The audit log lacks the newest seal that this host has made, {text!r:.100} in {path}."
        )
    )


def _is_in_log(text: str) -> bool:
    try:
        kept = KeptSeal.parse(text)
    except ValueError:
        return False
    row = find_seal("number", kept.number)
    seal = parse_seal(row.statement) if row else None
    return seal is not None and seal.digest == kept.digest
