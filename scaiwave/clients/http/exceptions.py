"""The border: what httpx raises comes in, one of our own errors goes out.

`ERROR_TRANSLATORS` names every exception class of httpx; a test walks httpx's tree and fails when a
class is missing here. The texts of foreign exceptions are used to tell cases apart and are never
shown, since some of them quote headers (h11 quotes the value of an illegal Authorization).
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx

from scaiwave.errors import (
    ScaiWaveError,
    SettingInvalid,
    UpstreamInvalidResponse,
    UpstreamUnreachable,
)


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """All in seconds. `whole` bounds one answer, however steadily it trickles in."""

    connect: float = 10.0
    read: float = 30.0
    write: float = 30.0
    pool: float = 60.0
    whole: float = 120.0


@dataclass(frozen=True, kw_only=True)
class UpstreamServer:
    """Whom we talk to, in the words that messages use."""

    service: str
    origin: str
    timeouts: Timeouts

    @property
    def name(self) -> str:
        return f"{self.service} at {self.origin}"

    @property
    def setting(self) -> str:
        """The setting that holds this server's address."""
        return f"SCAIWAVE_{self.service.upper()}_URL"


@dataclass(frozen=True, kw_only=True)
class TranslatedError:
    """One of our errors, and whether trying again can help.

    `connecting` is true while no byte of the request can have reached the server.
    """

    error: ScaiWaveError
    transient: bool = False
    connecting: bool = False


Kind = Callable[[Exception, UpstreamServer], TranslatedError]


def translate_exception(error: Exception, peer: UpstreamServer) -> TranslatedError:
    """Translate `error`; a class that is not in the table is taken for its nearest parent."""
    for ancestor in type(error).__mro__:
        if ancestor in ERROR_TRANSLATORS:
            return ERROR_TRANSLATORS[ancestor](error, peer)
    raise error


def _unreachable(
    message: str, fix: str, *, transient: bool = True, connecting: bool = True
) -> TranslatedError:
    error = UpstreamUnreachable(message, fix=fix)
    return TranslatedError(error=error, transient=transient, connecting=connecting)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _connect(error: Exception, peer: UpstreamServer) -> TranslatedError:
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            return _unknown_name(cause, peer)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _bad_certificate(cause, peer)
        if isinstance(cause, ssl.SSLError):
            return _no_tls(peer)
        if isinstance(cause, ConnectionRefusedError):
            return _unreachable(
                f"{peer.name} refuses connections.",
                f"Check {peer.setting}, and that {peer.service} is running there.",
            )
        if isinstance(cause, OSError) and cause.errno in {errno.ENETUNREACH, errno.EHOSTUNREACH}:
            return _unreachable(
                f"There is no route to {peer.name}.",
                f"Check {peer.setting}, this machine's network and its firewall.",
            )
    return _unreachable(
        f"{peer.name} can't be connected to.", f"Check {peer.setting} and the network."
    )


def _unknown_name(cause: socket.gaierror, peer: UpstreamServer) -> TranslatedError:
    return _unreachable(
        f"The host name of {peer.name} can't be resolved.",
        f"Check the spelling in {peer.setting}, and this machine's DNS.",
        transient=cause.errno == socket.EAI_AGAIN,
    )


# OpenSSL's X509_V_ERR_ numbers that an operator can do something about.
_NOT_YET_VALID, _EXPIRED, _WRONG_NAME, _WRONG_ADDRESS = 9, 10, 62, 64


def _bad_certificate(cause: ssl.SSLCertVerificationError, peer: UpstreamServer) -> TranslatedError:
    renew = f"Renew the certificate of {peer.service}, and check this machine's clock."
    what, fix = {
        _NOT_YET_VALID: ("is not valid yet", renew),
        _EXPIRED: ("has expired", renew),
        _WRONG_NAME: ("is made out to another name", f"Use that name in {peer.setting}."),
        _WRONG_ADDRESS: ("is made out to another address", f"Use the name in {peer.setting}."),
    }.get(
        cause.verify_code,
        (
            "is not signed by an authority that this machine trusts",
            "Save the authority's certificate to a file and name it in SSL_CERT_FILE.",
        ),
    )
    return _unreachable(f"The certificate of {peer.name} {what}.", fix, transient=False)


def _no_tls(peer: UpstreamServer) -> TranslatedError:
    return _unreachable(
        f"{peer.name} does not speak TLS as we know it.",
        f"Check scheme and port in {peer.setting}: a server without TLS needs http://.",
        transient=False,
    )


def _connect_timeout(error: Exception, peer: UpstreamServer) -> TranslatedError:
    return _unreachable(
        f"{peer.name} did not accept a connection within {peer.timeouts.connect:g} s.",
        f"Check {peer.setting}, this machine's network and its firewall.",
    )


def _pool_timeout(error: Exception, peer: UpstreamServer) -> TranslatedError:
    return _unreachable(
        f"No connection to {peer.name} became free within {peer.timeouts.pool:g} s.",
        "Run the command again; if it happens again, the server is too slow for this load.",
    )


def _read_timeout(error: Exception, peer: UpstreamServer) -> TranslatedError:
    return _unreachable(
        f"{peer.name} sent nothing for {peer.timeouts.read:g} s.",
        f"Look at the load of {peer.service}, then run the command again.",
        connecting=False,
    )


def _write_timeout(error: Exception, peer: UpstreamServer) -> TranslatedError:
    return _unreachable(
        f"{peer.name} took nothing in for {peer.timeouts.write:g} s.",
        f"Look at the load of {peer.service}, then run the command again.",
        connecting=False,
    )


def _timeout(error: Exception, peer: UpstreamServer) -> TranslatedError:
    return _unreachable(
        f"{peer.name} took longer than we wait.",
        f"Look at the load of {peer.service}, then run the command again.",
        connecting=False,
    )


def deadline_error(peer: UpstreamServer) -> TranslatedError:
    return _unreachable(
        f"{peer.name} did not finish its answer within {peer.timeouts.whole:g} s.",
        f"Look at the load of {peer.service}, then run the command again.",
        connecting=False,
    )


def _broken(error: Exception, peer: UpstreamServer) -> TranslatedError:
    return _unreachable(
        f"{peer.name} broke the connection before its answer was complete.",
        f"Run the command again; if it happens again, look at the log of {peer.service} "
        "and of what stands in front of it.",
        connecting=False,
    )


def _nonsense(message: str, fix: str) -> TranslatedError:
    return TranslatedError(error=UpstreamInvalidResponse(message, fix=fix))


def _remote_protocol(error: Exception, peer: UpstreamServer) -> TranslatedError:
    text = str(error)
    if "disconnected" in text or "closed connection" in text:
        return _broken(error, peer)
    return _nonsense(
        f"{peer.name} does not speak HTTP as we know it.",
        f"Check scheme and port in {peer.setting}.",
    )


def _undecodable(error: Exception, peer: UpstreamServer) -> TranslatedError:
    return _nonsense(
        f"{peer.name} sent a body that does not match its Content-Encoding.",
        f"Look at what stands in front of {peer.service}: a proxy may be mangling answers.",
    )


def _misused(error: Exception, peer: UpstreamServer) -> TranslatedError:
    return _nonsense(
        f"The answer of {peer.name} can't be read.",
        f"Check that {peer.setting} is the address of {peer.service}.",
    )


def _proxy(error: Exception, peer: UpstreamServer) -> TranslatedError:
    return _unreachable(
        f"The proxy would not connect us to {peer.name}.",
        "Check HTTPS_PROXY and HTTP_PROXY, or name the host in NO_PROXY.",
    )


def _unwritable(error: Exception, peer: UpstreamServer) -> TranslatedError:
    if getattr(error, "encoding", "") == "idna":
        return _no_address(error, peer)
    return TranslatedError(
        error=SettingInvalid(
            f"A request to {peer.name} holds characters that can't be sent.",
            fix="Look for line breaks and non-ASCII characters in ids, tokens and arguments.",
        )
    )


def _no_address(error: Exception, peer: UpstreamServer) -> TranslatedError:
    return TranslatedError(
        error=SettingInvalid(
            f"{peer.setting} is not an address that can be called.",
            fix=f"Set {peer.setting} to something like https://{peer.service.lower()}.example.org.",
        )
    )


ERROR_TRANSLATORS: dict[type[Exception], Kind] = {
    httpx.HTTPError: _misused,
    httpx.RequestError: _misused,
    httpx.TransportError: _misused,
    httpx.TimeoutException: _timeout,
    httpx.ConnectTimeout: _connect_timeout,
    httpx.ReadTimeout: _read_timeout,
    httpx.WriteTimeout: _write_timeout,
    httpx.PoolTimeout: _pool_timeout,
    httpx.NetworkError: _broken,
    httpx.ReadError: _broken,
    httpx.WriteError: _broken,
    httpx.CloseError: _broken,
    httpx.ConnectError: _connect,
    httpx.ProxyError: _proxy,
    httpx.UnsupportedProtocol: _no_address,
    httpx.ProtocolError: _misused,
    httpx.LocalProtocolError: _unwritable,
    httpx.RemoteProtocolError: _remote_protocol,
    httpx.DecodingError: _undecodable,
    httpx.TooManyRedirects: _misused,
    httpx.HTTPStatusError: _misused,
    httpx.InvalidURL: _no_address,
    httpx.CookieConflict: _misused,
    httpx.StreamError: _misused,
    httpx.StreamConsumed: _misused,
    httpx.StreamClosed: _misused,
    httpx.ResponseNotRead: _misused,
    httpx.RequestNotRead: _misused,
    UnicodeError: _no_address,  # From the codec for host names.
    UnicodeEncodeError: _unwritable,
}
HTTPX_ERRORS = tuple(
    kind for kind in ERROR_TRANSLATORS if ERROR_TRANSLATORS.keys().isdisjoint(kind.__mro__[1:])
)
"""The roots of the tree: catching these catches all of them."""
