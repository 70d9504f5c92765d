"""Errors of keys, signatures, peers and the federation policy.

DomainError
├── KeyDamaged               stored private and public key do not belong together
├── InvalidKey               not a public key
├── InvalidDescriptor        not a server's descriptor
├── InvalidServerName        not a server name
└── HandshakeIncompatible    the peer was reached, but federation would fail
NotFoundError
├── NoSigningKey             this server has no key to sign with
├── KeyNotFound              no such key
└── PeerNotFound             no such known peer
ConflictError
└── KeyExists                a signing key already exists
RefusedError
├── SignatureRefused         a signature is not accepted
│   ├── InvalidSignature           it does not match the data
│   ├── SigningKeyRevoked          its key is revoked
│   └── SignatureOutsideValidity   it is dated outside the key's validity period
└── PeerAddressRefused       the name resolves to an address that is not public
ConfigurationError
├── KeyUnreadable            SCAIWAVE_ENCRYPTION_KEYS can't decrypt a private key
└── KeyFromFuture            a key has times in the future
UsageError
├── InvalidOverlap           the overlap is out of range
└── InvalidPolicy            the requested policy changes are empty or contradictory
"""

from __future__ import annotations

from scaiwave.config.server_name import NAME_FIX
from scaiwave.core.errors import (
    ConfigurationError,
    ConflictError,
    DomainError,
    NotFoundError,
    RefusedError,
    UsageError,
)


class KeyExists(ConflictError):
    """This server already has a signing key, which `key generate` does not replace."""

    code = "SW_FEDERATION_KEY_EXISTS"
    fix = "Run `scaiwave admin federation key rotate` to replace it with an overlap."


class NoSigningKey(NotFoundError):
    """This server has no signing key: none was created yet, or the last one was revoked."""

    code = "SW_FEDERATION_NO_KEY"
    fix = "Run `scaiwave admin federation key generate`."


class KeyNotFound(NotFoundError):
    """This server has never had a key with that ID."""

    code = "SW_FEDERATION_KEY_NOT_FOUND"
    fix = "Run `scaiwave admin federation key list` to see this server's keys."


class PeerNotFound(NotFoundError):
    """This server has not seen a server with that name."""

    code = "SW_FEDERATION_PEER_NOT_FOUND"
    fix = (
        "Run `scaiwave admin federation peer list` to see the known peers, or `scaiwave admin "
        "federation check-peer <server>` to fetch the key of another one."
    )


class KeyFromFuture(ConfigurationError):
    """A key was created or replaced while the clock of a server was ahead, or the clock is behind
    now."""

    code = "SW_FEDERATION_KEY_FROM_FUTURE"
    fix = (
        "Check the clock of this server. If it is right, run `scaiwave admin federation key "
        "rotate`, which corrects the times."
    )


class KeyUnreadable(ConfigurationError):
    """SCAIWAVE_ENCRYPTION_KEYS can't decrypt a stored private key."""

    code = "SW_FEDERATION_KEY_UNREADABLE"
    FIX = (
        "Add the encryption key it was stored with to SCAIWAVE_ENCRYPTION_KEYS again, after the "
        "newest one. If that encryption key is lost, revoke the key: `scaiwave admin federation "
        "key revoke {}`, which names the next command."
    )
    fix = FIX.format("<key>")


class KeyDamaged(DomainError):
    """A private key was decrypted, but does not match its public key."""

    code = "SW_FEDERATION_KEY_DAMAGED"
    fix = (
        "Restore sw_server_keys from a backup, or replace the key: `scaiwave admin federation key "
        "rotate`."
    )


REVOKE_DAMAGED = (
    "Restore sw_server_keys from a backup, or revoke the key, which signs no longer: `scaiwave "
    "admin federation key revoke {}`."
)


class InvalidOverlap(UsageError):
    """The overlap of two keys is out of range."""

    code = "SW_FEDERATION_BAD_OVERLAP"
    fix = "Pass a number of days in the range that the error names (default 30)."


class InvalidKey(DomainError):
    """The text is not a public key in the form ed25519:<base64>."""

    code = "SW_FEDERATION_BAD_KEY"
    fix = "Write the key as in a descriptor: `ed25519:` followed by 32 bytes in base64."


class InvalidDescriptor(DomainError):
    """The document is not a server's descriptor."""

    code = "SW_FEDERATION_BAD_DESCRIPTOR"
    fix = "Download it again from https://<server>/.well-known/scaiwave/server."


class SignatureRefused(RefusedError):
    """A signature is not accepted. The error names the reason."""

    code = "SW_SIGNATURE_REFUSED"
    fix = "Correct the problem that the error names."


class InvalidSignature(SignatureRefused):
    """The signature does not match the data and the key."""

    code = "SW_SIGNATURE_WRONG"
    fix = (
        "Get the data again from its source: it was changed after it was signed, or was signed "
        "with another key."
    )


class SigningKeyRevoked(SignatureRefused):
    """The key that made the signature is revoked, so none of its signatures are valid."""

    code = "SW_SIGNATURE_KEY_REVOKED"
    fix = "Have it signed again with a key that is not revoked."


class SignatureOutsideValidity(SignatureRefused):
    """The signature is dated outside the validity period of its key."""

    code = "SW_SIGNATURE_OUT_OF_TIME"
    fix = "Check the clock of the server that signed it, then have it signed again."


class InvalidServerName(DomainError):
    """The text is not a server name."""

    code = "SW_FEDERATION_BAD_SERVER_NAME"
    fix = NAME_FIX


_CHECK_PEER_MESSAGES = "[Messages of check-peer](federation.md#check-peer)."


class PeerAddressRefused(RefusedError):
    """The server name resolves to an address in a private network that no setting lists."""

    code = "SW_FEDERATION_PEER_ADDRESS_REFUSED"
    remedy = (
        "If the peer is in that network, add the network to SCAIWAVE_PEER_NETWORKS. "
        + _CHECK_PEER_MESSAGES
    )


class HandshakeIncompatible(DomainError):
    """The peer was reached, but federation with it would fail. The error names the reason."""

    code = "SW_FEDERATION_HANDSHAKE_WOULD_FAIL"
    remedy = _CHECK_PEER_MESSAGES


class InvalidPolicy(UsageError):
    """The requested policy changes contradict each other, or there are none."""

    code = "SW_FEDERATION_BAD_POLICY"
    fix = "Pass at least one change; see `scaiwave admin federation policy set --help`."
