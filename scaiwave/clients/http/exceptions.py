"""Translation of httpx's exceptions into errors of this suite.

`ERROR_TRANSLATORS` lists every exception class of httpx; a test fails if one is missing. The texts
of these exceptions distinguish cases but are never shown, since some quote headers (h11 quotes the
value of an illegal Authorization).
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass

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


def _unreachable_error(
    message: str, fix: str, *, transient: bool = True, connecting: bool = True
) -> TranslatedError:
    error = UpstreamUnreachable(message, fix=fix)
    return TranslatedError(error=error, transient=transient, connecting=connecting)


def _iter_causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _translate_connect_error(error: Exception, peer: UpstreamServer) -> TranslatedError:
    for cause in _iter_causes(error):
        if isinstance(cause, socket.gaierror):
            return _unknown_host_error(cause, peer)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _certificate_error(cause, peer)
        if isinstance(cause, ssl.SSLError):
            return _tls_error(peer)
        if isinstance(cause, ConnectionRefusedError):
            return _unreachable_error(
                f"{peer.name} refuses connections.",
                f"Check {peer.setting}, and that {peer.service} is running there.",
            )
        if isinstance(cause, OSError) and cause.errno in {errno.ENETUNREACH, errno.EHOSTUNREACH}:
            return _unreachable_error(
                f"No route to {peer.name}.",
                f"Check {peer.setting}, this host's network and its firewall.",
            )
    return _unreachable_error(
        f"Connecting to {peer.name} failed.", f"Check {peer.setting} and the network."
    )


def _unknown_host_error(cause: socket.gaierror, peer: UpstreamServer) -> TranslatedError:
    return _unreachable_error(
        f"The host name of {peer.name} can't be resolved.",
        f"Check the spelling in {peer.setting}, and this host's DNS.",
        transient=cause.errno == socket.EAI_AGAIN,
    )


# OpenSSL's X509_V_ERR_ numbers for problems that an operator can fix.
_NOT_YET_VALID, _EXPIRED, _WRONG_NAME, _WRONG_ADDRESS = 9, 10, 62, 64


def _certificate_error(
    cause: ssl.SSLCertVerificationError, peer: UpstreamServer
) -> TranslatedError:
    renew = f"Renew the certificate of {peer.service}, and check this host's clock."
    what, fix = {
        _NOT_YET_VALID: ("is not valid yet", renew),
        _EXPIRED: ("has expired", renew),
        _WRONG_NAME: ("is for another host name", f"Use that name in {peer.setting}."),
        _WRONG_ADDRESS: ("is for another address", f"Use the name in {peer.setting}."),
    }.get(
        cause.verify_code,
        (
            "is not signed by an authority that this host trusts",
            "Save the authority's certificate to a file and name it in SSL_CERT_FILE.",
        ),
    )
    return _unreachable_error(f"The certificate of {peer.name} {what}.", fix, transient=False)


def _tls_error(peer: UpstreamServer) -> TranslatedError:
    return _unreachable_error(
        f"{peer.name} does not support TLS, or not a version that is accepted here.",
        f"Check scheme and port in {peer.setting}: a server without TLS needs http://.",
        transient=False,
    )


def _translate_connect_timeout(error: Exception, peer: UpstreamServer) -> TranslatedError:
    return _unreachable_error(
        f"{peer.name} did not accept a connection within {peer.timeouts.connect:g} s.",
        f"Check {peer.setting}, this host's network and its firewall.",
    )


def _translate_pool_timeout(error: Exception, peer: UpstreamServer) -> TranslatedError:
    return _unreachable_error(
        f"No connection to {peer.name} became free within {peer.timeouts.pool:g} s.",
        "Run the command again. If it happens again, the server is too slow for this load.",
    )


def _translate_read_timeout(error: Exception, peer: UpstreamServer) -> TranslatedError:
    return _unreachable_error(
        f"{peer.name} sent nothing for {peer.timeouts.read:g} s.",
        f"Check the load of {peer.service}, then run the command again.",
        connecting=False,
    )


def _translate_write_timeout(error: Exception, peer: UpstreamServer) -> TranslatedError:
    return _unreachable_error(
        f"{peer.name} accepted no data for {peer.timeouts.write:g} s.",
        f"Check the load of {peer.service}, then run the command again.",
        connecting=False,
    )


def _translate_timeout(error: Exception, peer: UpstreamServer) -> TranslatedError:
    return _unreachable_error(
        f"{peer.name} exceeded the time limit.",
        f"Check the load of {peer.service}, then run the command again.",
        connecting=False,
    )


def deadline_error(peer: UpstreamServer) -> TranslatedError:
    return _unreachable_error(
        f"{peer.name} did not finish its response within {peer.timeouts.total:g} s.",
        f"Check the load of {peer.service}, then run the command again.",
        connecting=False,
    )


def _translate_network_error(error: Exception, peer: UpstreamServer) -> TranslatedError:
    return _unreachable_error(
        f"{peer.name} closed the connection before its response was complete.",
        f"Run the command again. If it happens again, check the logs of {peer.service} and of "
        "its reverse proxy.",
        connecting=False,
    )


def _invalid_response_error(message: str, fix: str) -> TranslatedError:
    return TranslatedError(error=UpstreamInvalidResponse(message, fix=fix))


def _translate_remote_protocol_error(error: Exception, peer: UpstreamServer) -> TranslatedError:
    text = str(error)
    if "disconnected" in text or "closed connection" in text:
        return _translate_network_error(error, peer)
    return _invalid_response_error(
        f"{peer.name} sent a response that is not HTTP.",
        f"Check scheme and port in {peer.setting}.",
    )


def _translate_decoding_error(error: Exception, peer: UpstreamServer) -> TranslatedError:
    return _invalid_response_error(
        f"{peer.name} sent a body {error}.",
        f"Check the reverse proxy of {peer.service}: it may corrupt responses.",
    )


def _unreadable_response_error(error: Exception, peer: UpstreamServer) -> TranslatedError:
    return _invalid_response_error(
        f"The response of {peer.name} can't be read.",
        f"Check that {peer.setting} is the address of {peer.service}.",
    )


def _translate_proxy_error(error: Exception, peer: UpstreamServer) -> TranslatedError:
    return _unreachable_error(
        f"The proxy refused to connect to {peer.name}.",
        "Check HTTPS_PROXY and HTTP_PROXY, or name the host in NO_PROXY.",
    )


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
    httpx.HTTPError: _unreadable_response_error,
    httpx.RequestError: _unreadable_response_error,
    httpx.TransportError: _unreadable_response_error,
    httpx.TimeoutException: _translate_timeout,
    httpx.ConnectTimeout: _translate_connect_timeout,
    httpx.ReadTimeout: _translate_read_timeout,
    httpx.WriteTimeout: _translate_write_timeout,
    httpx.PoolTimeout: _translate_pool_timeout,
    httpx.NetworkError: _translate_network_error,
    httpx.ReadError: _translate_network_error,
    httpx.WriteError: _translate_network_error,
    httpx.CloseError: _translate_network_error,
    httpx.ConnectError: _translate_connect_error,
    httpx.ProxyError: _translate_proxy_error,
    httpx.UnsupportedProtocol: _translate_invalid_url,
    httpx.ProtocolError: _unreadable_response_error,
    httpx.LocalProtocolError: _translate_local_protocol_error,
    httpx.RemoteProtocolError: _translate_remote_protocol_error,
    httpx.DecodingError: _translate_decoding_error,
    httpx.TooManyRedirects: _unreadable_response_error,
    httpx.HTTPStatusError: _unreadable_response_error,
    httpx.InvalidURL: _translate_invalid_url,
    httpx.CookieConflict: _unreadable_response_error,
    httpx.StreamError: _unreadable_response_error,
    httpx.StreamConsumed: _unreadable_response_error,
    httpx.StreamClosed: _unreadable_response_error,
    httpx.ResponseNotRead: _unreadable_response_error,
    httpx.RequestNotRead: _unreadable_response_error,
    UnicodeError: _translate_invalid_url,  # From the codec for host names.
    UnicodeEncodeError: _translate_local_protocol_error,
}
HTTPX_ERRORS = tuple(
    kind for kind in ERROR_TRANSLATORS if ERROR_TRANSLATORS.keys().isdisjoint(kind.__mro__[1:])
)
"""The roots of the tree; to catch these is to catch all of them."""
