"""The certificate authorities that this host trusts."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import httpx


def create_tls_context() -> ssl.SSLContext:
    """Trust the authorities of the host, or SSL_CERT_FILE or SSL_CERT_DIR. Raises OSError.

    A Python that was not built for this host may find no trust store: certifi's list is used then.
    """
    paths = ssl.get_default_verify_paths()
    is_named = any(os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
    if is_named or not (paths.cafile or any(Path(paths.capath or os.devnull).glob("*.0"))):
        return httpx.create_ssl_context()
    return ssl.create_default_context(cafile=paths.cafile, capath=paths.capath)
