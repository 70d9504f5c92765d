from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.faults.matrix import Matrix
from tests.faults.site import POSTGRESQL, REDIS, S3, ProxiedSandbox, Site


@pytest.fixture(scope="session")
def get_matrix(
    postgres_url: str,
    redis_url: str,
    seaweedfs_url: str,
    migrated: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[], Matrix]]:
    """Prepare a server, and another as soon as its state has changed by the passing of time."""
    urls = {POSTGRESQL: postgres_url, REDIS: redis_url, S3: seaweedfs_url}
    matrix: Matrix | None = None
    with ExitStack() as stack:

        def get_matrix() -> Matrix:
            nonlocal matrix
            if matrix is None or matrix.site.is_outdated:
                stack.close()
                sandbox = stack.enter_context(
                    ProxiedSandbox(partners=2, tenants=3, people=40, groups=4, auto_approve=True)
                )
                directory = tmp_path_factory.mktemp("faults")
                prepared = Site.prepare(directory, urls, migrated, sandbox)
                matrix = Matrix(stack.enter_context(prepared))
            return matrix

        yield get_matrix


@pytest.fixture
def matrix(get_matrix: Callable[[], Matrix]) -> Matrix:
    return get_matrix()
