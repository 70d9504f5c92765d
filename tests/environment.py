"""The environment that tests run in. A pytest plugin, named in pyproject.toml.

Django's settings are read once, before any conftest is imported, so what they read has to be in
place earlier: this module does its work when it is imported. Nothing that an operator has set on
this machine reaches a test, least of all the database.
"""

from __future__ import annotations

import atexit
import base64
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

# For the harness, not for the product.
_KEPT = ("SCAIWAVE_TEST_", "SCAIWAVE_REQUIRE_SERVICES")
_FOREIGN = ("SCAIWAVE_", "PG", "DJANGO_")


def _drop_inherited() -> None:
    for name in list(os.environ):
        if name.startswith(_FOREIGN) and not name.startswith(_KEPT):
            del os.environ[name]


def own_settings(home: Path) -> dict[str, str]:
    """What a process of the product needs to work in `home`, apart from its database."""
    return {
        "SCAIWAVE_HOME": str(home),
        "SCAIWAVE_SECRET_KEY": "for-tests-only-" + "0123456789" * 5,
        "SCAIWAVE_ENCRYPTION_KEYS": base64.urlsafe_b64encode(
            hashlib.sha256(b"for tests only").digest()
        ).decode(),
    }


_drop_inherited()
SESSION_HOME = Path(tempfile.mkdtemp(prefix="scaiwave-tests-"))
atexit.register(shutil.rmtree, SESSION_HOME, ignore_errors=True)
os.environ.update(own_settings(SESSION_HOME))
if _database := os.environ.get("SCAIWAVE_TEST_DB_URL"):
    os.environ["SCAIWAVE_DB_URL"] = _database
