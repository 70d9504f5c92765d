from __future__ import annotations

from pathlib import Path

import pytest

from tests.databases import copy_database
from tests.rooms.bucket.environment import Bucket, BucketEnvironment
from tests.rooms.imports.conftest import prepared_database, small

__all__ = ["prepared_database", "small"]


@pytest.fixture
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A bucket, which the settings of started processes name: of SeaweedFS, or the parameter."""
    kind = getattr(request, "param", "seaweedfs")
    bucket = Bucket.create(request.getfixturevalue(f"{kind}_url"))
    use_bucket(bucket, monkeypatch)
    return bucket


def use_bucket(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in bucket.settings.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def empty_site(database_url: str, prepared_database: str, home: Path) -> tuple[str, Path]:
    """A database with a tenant to import into, and the home directory."""
    copy_database(prepared_database, database_url)
    return database_url, home


@pytest.fixture
def site(empty_site: tuple[str, Path], bucket: Bucket) -> BucketEnvironment:
    return BucketEnvironment(*empty_site, bucket)
