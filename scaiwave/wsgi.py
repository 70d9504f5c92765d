"""The WSGI application, for gunicorn: `gunicorn --config python:scaiwave.web.gunicorn_config`."""

from __future__ import annotations

import codecs
import os
import secrets
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from django.core.wsgi import get_wsgi_application

from scaiwave.cli.entry import report_error
from scaiwave.config.web_libraries import require_web_libraries
from scaiwave.core.errors import ScaiWaveError

require_web_libraries()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scaiwave.settings")
os.environ.setdefault("SCAIWAVE_PROFILE", "web")

GUNICORN_BOOT_ERROR = 3
"""The exit code of a worker that makes gunicorn stop, instead of starting another one."""


EXEMPT_PATHS = ("/health", "/static/")
"""Health checks report an older schema themselves."""


class Application:
    """Django's application, which also answers health checks before `migrate` has run.

    Until then there is no secret key, and a random one replaces it. Nothing is stored with that.
    All other requests to a database with an older schema are refused; once it has been migrated,
    this is not looked at again.
    """

    def __init__(self) -> None:
        from django.conf import settings

        try:
            self._respond = get_wsgi_application()
        except ScaiWaveError as error:
            report_error(error, as_json=False)
            raise SystemExit(GUNICORN_BOOT_ERROR) from None
        self._settings = settings
        self._has_key = self._is_migrated = False
        self._random_key = secrets.token_urlsafe(48)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if _has_other_charset(environ.get("CONTENT_TYPE", "")):
            headers = [("Content-Type", "text/plain; charset=utf-8")]
            start_response(f"{HTTPStatus.BAD_REQUEST.value} Bad Request", headers)
            return [b"The request is not in UTF-8."]
        if not self._has_key:
            from scaiwave.config.secret_keys import find_secret_key

            key = find_secret_key(self._settings.CONFIG)
            self._settings.SECRET_KEY = key or self._random_key
            self._has_key = bool(key)
        path = environ.get("PATH_INFO", "")
        if not self._is_migrated and not path.startswith(EXEMPT_PATHS) and self._is_older():
            from scaiwave.web.api import build_unmigrated_response

            response = build_unmigrated_response(path)
            status = f"{response.status_code} {response.reason_phrase}"
            start_response(status, list(response.items()))
            return [response.content]
        return self._respond(environ, start_response)

    def _is_older(self) -> bool:
        from django.db import connection

        from scaiwave.storage.schema_version import is_migrated

        found = is_migrated(connection)
        self._is_migrated = found is True
        if found is False:
            connection.close()  # No request of Django does.
        return found is False


def _has_other_charset(content_type: str) -> bool:
    """Return whether texts of the request would not be decoded as UTF-8.

    Django takes any codec of Python, even one that decodes no texts, and fails before any view
    or middleware. It ignores unknown names.
    """
    from django.utils.http import parse_header_parameters

    try:
        name = parse_header_parameters(content_type)[1].get("charset", "utf-8")
    except (LookupError, ValueError):  # The parameter itself is encoded (RFC 2231).
        return True
    try:
        return codecs.lookup(name).name not in ("utf-8", "ascii")
    except LookupError:
        return False
    except ValueError:
        return True


application = Application()
