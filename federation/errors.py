"""What can go wrong with keys, signatures, peers and the policy."""

from __future__ import annotations

from scaiwave.errors import (
    ConfigurationError,
    ConflictError,
    DomainError,
    NotFoundError,
    RefusedError,
    UsageError,
)


class KeyExists(ConflictError):
    code = "SW_FEDERATION_KEY_EXISTS"
    fix = "`scaiwave admin federation key rotate` replaces it, with an overlap."


class NoSigningKey(NotFoundError):
    """Nothing signs: no key was ever made, or the last one was revoked."""

    code = "SW_FEDERATION_NO_KEY"
    fix = "`scaiwave admin federation key generate` makes one."


class KeyNotFound(NotFoundError):
    code = "SW_FEDERATION_KEY_NOT_FOUND"
    fix = "`scaiwave admin federation key list` shows this server's keys."


class KeyUnreadable(ConfigurationError):
    """The private half is there, and SCAIWAVE_ENCRYPTION_KEYS does not open it."""

    code = "SW_FEDERATION_KEY_UNREADABLE"
    fix = (
        "Put the encryption key it was stored under back into SCAIWAVE_ENCRYPTION_KEYS, after the "
        "newest one. If that one is lost, revoke the key and generate another."
    )


class KeyDamaged(DomainError):
    """The private half opens, and does not belong to the public half."""

    code = "SW_FEDERATION_KEY_DAMAGED"
    fix = "Restore sw_server_keys from a backup, or revoke the key and generate another."


class InvalidOverlap(UsageError):
    code = "SW_FEDERATION_BAD_OVERLAP"


class InvalidKey(DomainError):
    """A text that is no public key of the form ed25519:<base64>."""

    code = "SW_FEDERATION_BAD_KEY"
    fix = "Write it as a descriptor has it: `ed25519:` and 32 bytes in base64."


class InvalidDescriptor(DomainError):
    """A document that is not a server's descriptor."""

    code = "SW_FEDERATION_BAD_DESCRIPTOR"
    fix = "Get it anew from https://<server>/.well-known/scaiwave/server."


class SignatureRefused(RefusedError):
    """A signature that counts for nothing; its kinds say why."""

    code = "SW_SIGNATURE_REFUSED"


class InvalidSignature(SignatureRefused):
    code = "SW_SIGNATURE_WRONG"
    fix = "It was changed after it was signed, or another key signed it. Get it anew."


class SigningKeyRevoked(SignatureRefused):
    code = "SW_SIGNATURE_KEY_REVOKED"
    fix = "Have it signed anew with a key that is not revoked."


class SignatureOutsideValidity(SignatureRefused):
    code = "SW_SIGNATURE_OUT_OF_TIME"
    fix = "Check the clock of the server that signed it, and have it signed anew."


class InvalidServerName(DomainError):
    code = "SW_FEDERATION_BAD_SERVER_NAME"
    fix = (
        "Write it without https:// and path, as in chat.example.com or chat.example.com:8448; "
        "names beyond ASCII in their xn-- form."
    )


class PeerAddressRefused(RefusedError):
    """The name leads into a private network that no setting lists."""

    code = "SW_FEDERATION_PEER_ADDRESS_REFUSED"


class HandshakeIncompatible(DomainError):
    """The peer was reached, and federating with it would not work; the message says why."""

    code = "SW_FEDERATION_HANDSHAKE_WOULD_FAIL"


class InvalidPolicy(UsageError):
    """Changes of the policy that contradict each other, or that change nothing."""

    code = "SW_FEDERATION_BAD_POLICY"
