"""Translation of httpx's exceptions into errors of this suite.

`ERROR_TRANSLATORS` lists every exception class of httpx; a test fails if one is missing. The texts
of these exceptions distinguish cases but are never shown, since some quote headers (h11 quotes the
value of an illegal Authorization).
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import httpx

from scaiwave.core.errors import (
    ScaiWaveError,
    SettingInvalid,
    UpstreamInvalidResponse,
    UpstreamUnreachable,
)


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """All in seconds. `total` limits one response, however steadily it arrives."""

    connect: float = 10.0
    read: float = 30.0
    write: float = 30.0
    pool: float = 60.0
    total: float = 120.0


INTERACTIVE_TIMEOUTS = Timeouts(connect=2.0, read=4.0, write=4.0, pool=4.0, total=4.0)
"""For requests in a web server, where a person waits and each waiting takes a thread."""


@dataclass(frozen=True, kw_only=True)
class UpstreamServer:
    """Another server, as messages name it.

    `base_path` is the path of its configured address, without a slash at its end. `configured_by`
    is where the address comes from, if that is not the setting.
    """

    service: str
    origin: str
    timeouts: Timeouts
    base_path: str = ""
    configured_by: str = ""

    @property
    def name(self) -> str:
        return f"{self.service} at {self.origin}"

    @property
    def setting(self) -> str:
        """The name of the setting or option with this server's address."""
        return self.configured_by or f"SCAIWAVE_{self.service.upper()}_URL"


@dataclass(frozen=True, kw_only=True)
class TranslatedError:
    """An error of this suite, and whether a retry may help.

    `connecting` means that no byte of the request can have reached the server.
    """

    error: ScaiWaveError
    transient: bool = False
    connecting: bool = False


Translator = Callable[[Exception, UpstreamServer], TranslatedError]


def translate_exception(error: Exception, peer: UpstreamServer) -> TranslatedError:
    """Translate an exception; a class that is not in the table counts as its nearest parent."""
    for ancestor in type(error).__mro__:
        if ancestor in ERROR_TRANSLATORS:
            return ERROR_TRANSLATORS[ancestor](error, peer)
    raise error


def _report(
    message: str,
    fix: str,
    *,
    kind: type[ScaiWaveError] = UpstreamUnreachable,
    transient: bool = True,
    connecting: bool = True,
) -> Translator:
    """Return a translator into these texts, where `{peer}` is the server."""

    def translate(error: Exception, peer: UpstreamServer) -> TranslatedError:
        texts = (text.format(peer=peer, error=error) for text in (message, fix))
        reported = kind(next(texts), fix=next(texts))
        return TranslatedError(error=reported, transient=transient, connecting=connecting)

    return translate


_CHECK_NETWORK = "Check {peer.setting}, this host's network and its firewall."
_CHECK_LOAD = "Check the load of {peer.service}, then run the command again."
_report_slow = partial(_report, fix=_CHECK_LOAD, connecting=False)
_report_lasting = partial(_report, transient=False)
_report_invalid = partial(_report, kind=UpstreamInvalidResponse, transient=False, connecting=False)

_connection_failed = _report(
    "Connecting to {peer.name} failed.", "Check {peer.setting} and the network."
)
_connection_refused = _report(
    "{peer.name} refuses connections.",
    "Check {peer.setting}, and that {peer.service} is running there.",
)
_no_route = _report("No route to {peer.name}.", _CHECK_NETWORK)
_unknown_host, _unknown_host_now = (
    _report(
        "The host name of {peer.name} can't be resolved.",
        "Check the spelling in {peer.setting}, and this host's DNS.",
        transient=is_transient,
    )
    for is_transient in (False, True)
)
_no_tls = _report_lasting(
    "{peer.name} does not support TLS, or not a version that is accepted here.",
    "Check scheme and port in {peer.setting}: a server without TLS needs http://.",
)
_RENEW = "Renew the certificate of {peer.service}, and check this host's clock."
_CERTIFICATE = "The certificate of {peer.name} "
# By OpenSSL's X509_V_ERR_ numbers, for problems that an operator can fix.
_CERTIFICATE_ERRORS = {
    9: _report_lasting(_CERTIFICATE + "is not valid yet.", _RENEW),
    10: _report_lasting(_CERTIFICATE + "has expired.", _RENEW),
    62: _report_lasting(
        _CERTIFICATE + "is for another host name.", "Use that name in {peer.setting}."
    ),
    64: _report_lasting(
        _CERTIFICATE + "is for another address.", "Use the name in {peer.setting}."
    ),
}
_untrusted_certificate = _report_lasting(
    _CERTIFICATE + "is not signed by an authority that this host trusts.",
    "Add the authority's certificate to this host's trust store, or name a file with all trusted "
    "authorities in SSL_CERT_FILE.",
)


def _translate_connect_error(error: Exception, peer: UpstreamServer) -> TranslatedError:
    cause: BaseException | None = error
    while cause is not None:
        if translate := _find_translator(cause):
            return translate(error, peer)
        cause = cause.__cause__ or cause.__context__
    return _connection_failed(error, peer)


def _find_translator(cause: BaseException) -> Translator | None:
    match cause:
        case socket.gaierror():
            return _unknown_host_now if cause.errno == socket.EAI_AGAIN else _unknown_host
        case ssl.SSLCertVerificationError():
            return _CERTIFICATE_ERRORS.get(cause.verify_code, _untrusted_certificate)
        case ssl.SSLError():
            return _no_tls
        case ConnectionRefusedError():
            return _connection_refused
        case OSError(errno=errno.ENETUNREACH | errno.EHOSTUNREACH):
            return _no_route
    return None


_exceeded_deadline = _report_slow(
    "{peer.name} did not finish its response within {peer.timeouts.total:g} s."
)


def deadline_error(peer: UpstreamServer) -> TranslatedError:
    return _exceeded_deadline(TimeoutError(), peer)


_closed_early = _report(
    "{peer.name} closed the connection before its response was complete.",
    "Run the command again. If it happens again, check the logs of {peer.service} and of its "
    "reverse proxy.",
    connecting=False,
)
_not_http = _report_invalid(
    "{peer.name} sent a response that is not HTTP.", "Check scheme and port in {peer.setting}."
)
_unreadable = _report_invalid(
    "The response of {peer.name} can't be read.",
    "Check that {peer.setting} is the address of {peer.service}.",
)


def _translate_remote_protocol_error(error: Exception, peer: UpstreamServer) -> TranslatedError:
    text = str(error)
    is_closed = "disconnected" in text or "closed connection" in text
    return (_closed_early if is_closed else _not_http)(error, peer)


def _translate_local_protocol_error(error: Exception, peer: UpstreamServer) -> TranslatedError:
    if getattr(error, "encoding", "") == "idna":
        return _translate_invalid_url(error, peer)
    return TranslatedError(
        error=SettingInvalid(
            f"A request to {peer.name} contains characters that can't be sent.",
            fix="Check for line breaks and non-ASCII characters in ids, tokens and arguments.",
        )
    )


def _translate_invalid_url(error: Exception, peer: UpstreamServer) -> TranslatedError:
    return TranslatedError(
        error=SettingInvalid(
            f"{peer.setting} is not a valid URL.",
            fix=f"Set {peer.setting} to something like https://{peer.service.lower()}.example.org.",
        )
    )


ERROR_TRANSLATORS: dict[type[Exception], Translator] = {
    **dict.fromkeys(
        (
            *(httpx.HTTPError, httpx.RequestError, httpx.TransportError, httpx.ProtocolError),
            *(httpx.TooManyRedirects, httpx.HTTPStatusError, httpx.CookieConflict),
            *(httpx.StreamError, httpx.StreamConsumed, httpx.StreamClosed),
            *(httpx.ResponseNotRead, httpx.RequestNotRead),
        ),
        _unreadable,
    ),
    **dict.fromkeys(
        (httpx.NetworkError, httpx.ReadError, httpx.WriteError, httpx.CloseError), _closed_early
    ),
    httpx.TimeoutException: _report_slow("{peer.name} exceeded the time limit."),
    httpx.ConnectTimeout: _report(
        "{peer.name} did not accept a connection within {peer.timeouts.connect:g} s.",
        _CHECK_NETWORK,
    ),
    httpx.ReadTimeout: _report_slow("{peer.name} sent nothing for {peer.timeouts.read:g} s."),
    httpx.WriteTimeout: _report_slow("{peer.name} accepted no data for {peer.timeouts.write:g} s."),
    httpx.PoolTimeout: _report(
        "No connection to {peer.name} became free within {peer.timeouts.pool:g} s.",
        "Run the command again. If it happens again, the server is too slow for this load.",
    ),
    httpx.ConnectError: _translate_connect_error,
    httpx.ProxyError: _report(
        "The proxy refused to connect to {peer.name}.",
        "Check HTTPS_PROXY and HTTP_PROXY, or name the host in NO_PROXY.",
    ),
    httpx.UnsupportedProtocol: _translate_invalid_url,
    httpx.LocalProtocolError: _translate_local_protocol_error,
    httpx.RemoteProtocolError: _translate_remote_protocol_error,
    httpx.DecodingError: _report_invalid(
        "{peer.name} sent a body {error}.",
        "Check the reverse proxy of {peer.service}: it may corrupt responses.",
    ),
    httpx.InvalidURL: _translate_invalid_url,
    UnicodeError: _translate_invalid_url,  # From the codec for host names.
    UnicodeEncodeError: _translate_local_protocol_error,
}
HTTPX_ERRORS = tuple(
    kind for kind in ERROR_TRANSLATORS if ERROR_TRANSLATORS.keys().isdisjoint(kind.__mro__[1:])
)
"""The roots of the tree; to catch these is to catch all of them."""
