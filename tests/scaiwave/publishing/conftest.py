"""A directory with two pages, a ScaiCMS, and a function that publishes to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from scaiwave.clients.scaicms import ScaiCmsClient
from scaiwave.core.operators import get_host_operator
from scaiwave.publishing.publish import PublishReport, publish
from scaiwave.sandbox import Sandbox
from tests.scaiwave.clients.retry_policies import ONE_RETRY
from tests.scaiwave.publishing.factories import make_page, write_page

Publish = Callable[..., PublishReport]


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    docs = tmp_path / "checkout" / "docs"
    write_page(
        docs, "roles.md", make_page("Roles", "suite/roles", text="See [the sync](sync.md#faults).")
    )
    write_page(docs, "sync.md", make_page("Sync", "suite/sync", text="## Faults\n\nNone."))
    return docs


@pytest.fixture
def cms() -> Iterator[Sandbox]:
    with Sandbox(people=10, tenants=1, groups=1, partners=1) as running:
        yield running


@pytest.fixture
def client(cms: Sandbox) -> Iterator[ScaiCmsClient]:
    with ScaiCmsClient(cms.url, cms.scaicms.api_key, retry_policy=ONE_RETRY) as client:
        yield client


@pytest.fixture
def run(docs: Path, client: ScaiCmsClient) -> Publish:
    """Return a function: `run()` plans, `run(execute=True)` writes."""
    return partial(_publish, docs, client)


def _publish(
    docs: Path, client: ScaiCmsClient, *prune: str, execute: bool = False
) -> PublishReport:
    return publish(
        operator=get_host_operator(),
        docs=docs,
        client=client,
        execute=execute,
        prune=prune,
        progress=lambda done, total: None,
    )
