"""The libraries of the web server, which an installation for the command line lacks."""

from __future__ import annotations

from importlib.util import find_spec

from scaiwave.core.errors import WebLibrariesMissing

LIBRARIES = ("axes", "gunicorn", "mozilla_django_oidc", "prometheus_client", "whitenoise")
"""The modules of the extra `web` in pyproject.toml."""


def has_web_libraries() -> bool:
    return not _find_missing()


def require_web_libraries() -> None:
    """Raises `WebLibrariesMissing`."""
    if missing := _find_missing():
        raise WebLibrariesMissing(
            f"The web server needs Python libraries that are not installed: {', '.join(missing)}."
        )


def _find_missing() -> list[str]:
    return [name for name in LIBRARIES if find_spec(name) is None]
