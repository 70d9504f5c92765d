"""Every page of the admin site of a server with 10,000 tenants, in a real browser, nightly."""

from __future__ import annotations

import pytest

from tests.browser.chromium import WatchedPage, run_chromium
from tests.browser.conftest import SampleServer, run_sample_server
from tests.browser.pages import list_pages
from tests.browser.test_admin_site import walk
from tests.tools import NIGHTLY

pytestmark = [
    pytest.mark.only_on("postgresql"),
    pytest.mark.skipif(not NIGHTLY, reason="SCAIWAVE_TEST_NIGHTLY is not set."),
]


def test_success_every_page_is_accessible_and_fits(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("large")
    with run_sample_server(request, home, "create_large_site_to_walk") as (url, sample):
        server = SampleServer(url, **sample)
        pages = list_pages(server.rows, server.acts)
        with run_chromium() as browser:
            watched = WatchedPage(browser, url, server.session)
            assert walk(watched, pages, are_first=False) == {}
