#!/usr/bin/env python3
"""Take the pictures of the admin site that the docs show: scripts/admin_screenshots.py

Creates a database with sample data, starts the web server with it, and opens three pages in the
Chromium of this host. Writes docs/images/admin-*.webp. The data is always the same; times are
relative to now.
"""

from __future__ import annotations

import sys
import tempfile
from base64 import b64decode
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP))

from tests.browser.chromium import WatchedPage, run_chromium  # noqa: E402
from tests.web_process import build_environment, listen, run_gunicorn, run_python  # noqa: E402

IMAGES = TOP / "docs/images"
WIDTH, HEIGHT = 1200, 800
QUALITY = 80
SETTINGS = {
    "SCAIWAVE_SCAIKEY_URL": "https://scaikey.example.com",
    "SCAIWAVE_SCAIKEY_CLIENT_ID": "app_scaiwave",
    "SCAIWAVE_SCAIKEY_CLIENT_SECRET": "not-a-secret",
    "SCAIWAVE_TIME_ZONE": "UTC",
}
CREATE = """
from django.core.management import call_command
from tests.browser.sample_site import create_site_to_picture
call_command("migrate", verbosity=0)
report(create_site_to_picture())
"""


def take_screenshots(home: Path) -> None:
    url = f"sqlite:///{home / 'scaiwave.sqlite3'}"
    environment = {**build_environment(url, home), **SETTINGS}
    samples: dict[str, Any] = run_python(CREATE, environment)
    with (
        listen() as listener,
        run_gunicorn(listener, environment, home / "log"),
        run_chromium() as browser,
    ):
        origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
        watched = WatchedPage(browser, origin, samples["session"], timezone_id="UTC")
        watched.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
        for name, path in samples["pages"].items():
            watched.open(path)
            capture = watched.context.new_cdp_session(watched.page).send(
                "Page.captureScreenshot", {"format": "webp", "quality": QUALITY}
            )
            file = IMAGES / f"admin-{name}.webp"
            file.write_bytes(b64decode(capture["data"]))
            print(f"{file.relative_to(TOP)}, {file.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="scaiwave-pictures-") as directory:
        take_screenshots(Path(directory))
