"""What the signature of a bundle means for its import."""

from __future__ import annotations

from collections.abc import Mapping

from federation.services.signing import VerifyingKey, key_from_text, own_keys
from rooms.bundle.signature import SignatureDocument, VerificationStatus, require_valid
from rooms.errors import NOTHING_DONE, ImportRefused


def trusted_keys(key: str | None) -> dict[str, VerifyingKey]:
    """This server's own keys by their ids, and a given one (`ed25519:…`). Raises InvalidKey."""
    if key is None:
        return own_keys()
    given = key_from_text(key)
    return {**own_keys(), given.key_id: given}


def check_signature(
    signed: SignatureDocument | None, keys: Mapping[str, VerifyingKey], *, required: bool
) -> VerificationStatus:
    """Raises `ImportRefused` for a signature that is wrong, or if one by a known key is required
    and there is none."""
    verdict = require_valid(signed, keys)
    if required and verdict is not VerificationStatus.VALID:
        raise ImportRefused(
            "A signature is required, and nobody who is known has signed the bundle.",
            fix=f"{NOTHING_DONE} Pass the signer's key with --key, if you trust it.",
        )
    return verdict


def signature_warning(signed: SignatureDocument | None, verdict: VerificationStatus) -> str | None:
    if verdict is VerificationStatus.UNKNOWN and signed is not None:
        return (
            f"The bundle says it is signed by {signed.server_name}, key {signed.key_id}; that key "
            "is not known here."
        )
    if verdict is VerificationStatus.UNSIGNED:
        return "Nobody has signed the bundle, so it may come from anywhere."
    return None
