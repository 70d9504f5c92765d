"""Set the environment that tests run in. A pytest plugin, named in pyproject.toml.

Django's settings are read once, before any conftest is imported. This module therefore sets the
environment when it is imported. Settings of this host, above all its database, do not reach tests.
"""

from __future__ import annotations

import atexit
import base64
import hashlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

import certifi

_OF_TEST_RUNNER = ("SCAIWAVE_TEST_", "SCAIWAVE_REQUIRE_SERVICES")
_INHERITED = ("SCAIWAVE_", "PG", "DJANGO_", "SSL_CERT_")
_AUTHORITY = "authority.pem"
_BEGIN = "-----BEGIN CERTIFICATE-----"


def _drop_inherited() -> None:
    for name in list(os.environ):
        if name.startswith(_INHERITED) and not name.startswith(_OF_TEST_RUNNER):
            del os.environ[name]


def own_settings(home: Path) -> dict[str, str]:
    """Return the settings that a process needs to run in `home`, except for the database.

    Clients trust one authority of all: reading the others takes as long as several requests.
    """
    return {
        "SSL_CERT_FILE": str(SESSION_HOME / _AUTHORITY),
        "SCAIWAVE_HOME": str(home),
        "SCAIWAVE_SECRET_KEY": "for-tests-only-" + "0123456789" * 5,
        "SCAIWAVE_ENCRYPTION_KEYS": base64.urlsafe_b64encode(
            hashlib.sha256(b"for tests only").digest()
        ).decode(),
    }


def forget_seals() -> None:
    """Delete the copies of the last seal of an audit log in the home directory of the session."""
    for path in SESSION_HOME.glob("audit-seal-*"):
        path.unlink()


_drop_inherited()
# jsonschema imports it if it is installed, which compiles 40 grammars and takes 1.5 seconds in each
# process of a run. No test checks an IRI with it.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
SESSION_HOME = Path(tempfile.mkdtemp(prefix="scaiwave-tests-"))
atexit.register(shutil.rmtree, SESSION_HOME, ignore_errors=True)
_, _, certificate = Path(certifi.where()).read_text().partition(_BEGIN)
(SESSION_HOME / _AUTHORITY).write_text(_BEGIN + certificate.partition(_BEGIN)[0])
os.environ.update(own_settings(SESSION_HOME))
if _database := os.environ.get("SCAIWAVE_TEST_DB_URL"):
    os.environ["SCAIWAVE_DB_URL"] = _database
