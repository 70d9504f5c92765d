from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.matrix import Matrix
from tests.faults.site import POSTGRESQL, REDIS, S3, ProxiedSandbox, Site


@pytest.fixture(scope="session")
def site(
    postgres_url: str,
    redis_url: str,
    seaweedfs_url: str,
    migrated: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    urls = {POSTGRESQL: postgres_url, REDIS: redis_url, S3: seaweedfs_url}
    with (
        ProxiedSandbox(partners=2, tenants=3, people=40, groups=4, auto_approve=True) as sandbox,
        Site.prepare(tmp_path_factory.mktemp("faults"), urls, migrated, sandbox) as site,
    ):
        yield site


@pytest.fixture(scope="session")
def matrix(site: Site) -> Matrix:
    return Matrix(site)
