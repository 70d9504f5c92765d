"""The WSGI application, for gunicorn: `gunicorn --config python:scaiwave.web.gunicorn_config`."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from typing import Any

from django.core.wsgi import get_wsgi_application

from scaiwave.cli.entry import report_error
from scaiwave.errors import ScaiWaveError
from scaiwave.web import require_web_libraries

require_web_libraries()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scaiwave.settings")
os.environ.setdefault("SCAIWAVE_PROFILE", "full")

GUNICORN_BOOT_ERROR = 3
"""The exit code of a worker with which gunicorn stops, instead of starting another one."""


class Application:
    """Django's application, which also answers health checks before `migrate` has run.

    Until then there is no secret key, and a random one, with which nothing is stored, replaces it.
    """

    def __init__(self) -> None:
        from django.conf import settings

        try:
            self._respond = get_wsgi_application()
        except ScaiWaveError as error:
            report_error(error, as_json=False)
            raise SystemExit(GUNICORN_BOOT_ERROR) from None
        self._settings = settings
        self._has_key = False
        self._random_key = secrets.token_urlsafe(48)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if not self._has_key:
            self._load_key()
        return self._respond(environ, start_response)

    def _load_key(self) -> None:
        from scaiwave.config.secret_keys import find_secret_key

        key = find_secret_key(self._settings.CONFIG)
        self._settings.SECRET_KEY = key or self._random_key
        self._has_key = bool(key)


application = Application()
