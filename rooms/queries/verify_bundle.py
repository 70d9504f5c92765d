from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from federation.services.signing import (
    VerifyingKey,
    key_from_text,
    keys_from_descriptor,
    own_keys,
)
from rooms.bundle.archive.reader import Archive, Limits
from rooms.bundle.manifest.reader import EventCounts
from rooms.bundle.manifest.references import ReferenceIndex
from rooms.bundle.manifest.schema import Head
from rooms.bundle.signature import (
    SignatureDocument,
    VerificationResult,
    VerificationStatus,
    verify_signature,
)
from rooms.bundle.validator import BundleValidator
from rooms.errors import NOTHING_DONE, BundleError, BundleNotVerified
from rooms.services.imports.source import open_seekable
from scaiwave.auth.operators import Operator, Permission
from scaiwave.console.output import ColumnType, Row
from scaiwave.console.progress import ProgressCallback, ProgressFactory, null_progress_factory
from scaiwave.error_mapping import translate_errors
from scaiwave.errors import DatabaseUnreachable, MigrationsPending, ScaiWaveError, UsageError


@dataclass(frozen=True)
class VerifiedBundle:
    """What a bundle holds, and everything that is wrong with it.

    `head` and `counts` are None where the manifest is no good.
    """

    entries: int
    manifest_sha256: str
    head: Head | None
    counts: EventCounts | None
    signed: SignatureDocument | None
    judgement: VerificationResult
    problems: Sequence[ScaiWaveError]
    require_signature: bool

    @property
    def sentence(self) -> str:
        if self.problem is None:
            return f"The bundle is whole. {self._about_signature}"
        return self._about_signature

    @property
    def problem(self) -> BundleNotVerified | None:
        """Why the bundle may not be relied on."""
        if self.problems:
            count = len(self.problems)
            what = "one thing is" if count == 1 else f"{count:,} things are"
            return BundleNotVerified(f"The bundle is not good: {what} wrong with it.")
        if self.judgement.verdict is VerificationStatus.WRONG:
            return BundleNotVerified(f"The bundle's signature is wrong. {self.judgement.why}")
        if self.require_signature and self.judgement.verdict is not VerificationStatus.VALID:
            return BundleNotVerified(
                "A signature is required, and nobody who is known has signed the bundle.",
                fix="Pass the signer's key with --key or --descriptor, if you trust it.",
            )
        return None

    @property
    def _about_signature(self) -> str:
        if self.signed is None or self.judgement.verdict is VerificationStatus.UNSIGNED:
            return "Nobody has signed it, so it may come from anywhere."
        by = f"{self.signed.server_name} at {self.signed.signed_at}, key {self.signed.key_id}"
        match self.judgement.verdict:
            case VerificationStatus.VALID:
                return f"Signed by {by}."
            case VerificationStatus.UNKNOWN:
                return f"It says it is signed by {by}; that key is not known here."
        return f"It says it is signed by {by}; that does not count. {self.judgement.why}"

    def facts(self) -> Row:
        head, counts = self.head, self.counts
        return {
            "room": head.room.name if head else None,
            "room_type": head.room.room_type if head else None,
            "server_name": head.server_name if head else None,
            "exported_at": head.exported_at if head else None,
            "whole_room": head.window is None if head else None,
            "events": counts.events if counts else None,
            "senders": len(head.senders) if head else None,
            "media": len(head.media) if head else None,
            "missing_media": sum(bool(row.missing) for row in head.media) if head else None,
            "entries": self.entries,
            "manifest_sha256": self.manifest_sha256 or None,
            "signature": self.judgement.verdict.value,
        }

    def problem_rows(self) -> list[Row]:
        return [
            {
                "entry": problem.details.get("entry"),
                "event": problem.details.get("event"),
                "event_id": problem.details.get("event_id"),
                "code": problem.code,
                "message": problem.message,
            }
            for problem in self.problems
        ]

    def document(self) -> Row:
        signed = self.signed
        signature = {
            "verdict": self.judgement.verdict.value,
            "why": self.judgement.why or None,
            "key_id": signed.key_id if signed else None,
            "server_name": signed.server_name if signed else None,
            "signed_at": signed.signed_at if signed else None,
        }
        return {
            "bundle": {
                **self.facts(),
                "good": self.problem is None,
                "signature": signature,
                "problems": self.problem_rows(),
            }
        }


def verify_bundle(
    *,
    operator: Operator | None,
    file: BinaryIO,
    most_bytes: int,
    key: str | None = None,
    descriptor: Path | None = None,
    require_signature: bool = False,
    bars: ProgressFactory = null_progress_factory,
) -> VerifiedBundle:
    """Look at every entry of a bundle, and at its signature. Needs no network.

    The keys are the given one, those of a saved descriptor, or else this server's own, which an
    operator may see. Raises `BundleError` where it is dangerous to read on, InvalidKey,
    InvalidDescriptor and UsageError; whatever else is wrong is in the answer.
    """
    keys = _keys(operator, key, descriptor)
    try:
        with (
            open_seekable(file, most_bytes=most_bytes, bars=bars) as source,
            bars("Checking", ColumnType.BYTES) as progress,
        ):
            archive = Archive(source.file, Limits(most_bytes))
            return _examined(archive, keys, require_signature, progress)
    except BundleError as error:
        error.fix = error.fix.removeprefix(NOTHING_DONE).strip()
        raise


def _keys(
    operator: Operator | None, key: str | None, descriptor: Path | None
) -> Mapping[str, VerifyingKey]:
    keys: dict[str, VerifyingKey] = {}
    if descriptor is not None:
        keys |= keys_from_descriptor(_read(descriptor))
    if key is not None:
        given = key_from_text(key)
        keys[given.key_id] = given
    if operator is not None:
        operator.require(Permission.VIEW)
        keys |= _own_keys()
    return keys


def _own_keys() -> Mapping[str, VerifyingKey]:
    try:
        with translate_errors():
            return own_keys()
    except (MigrationsPending, DatabaseUnreachable) as error:
        instead = "Without a database, pass the signer's key with --key or --descriptor."
        error.fix = f"{error.fix} {instead}".strip()
        raise


def _read(descriptor: Path) -> Any:
    fix = "Save what https://<server>/.well-known/scaiwave/server answers, and name that file."
    try:
        return json.loads(descriptor.read_bytes())
    except OSError as error:
        raise UsageError(f"{descriptor} can't be read: {error.strerror}.", fix=fix) from None
    except (ValueError, RecursionError):
        raise UsageError(f"{descriptor} is not JSON.", fix=fix) from None


def _examined(
    archive: Archive,
    keys: Mapping[str, VerifyingKey],
    require_signature: bool,
    progress: ProgressCallback,
) -> VerifiedBundle:
    problems: list[ScaiWaveError] = []
    references = ReferenceIndex()
    try:
        examination = BundleValidator(archive, problems.append, progress)
        head, counts = examination.run(references, cut_references=False) or (None, None)
    finally:
        references.close()
    return VerifiedBundle(
        len(archive.entries),
        examination.manifest_sha256,
        head,
        counts,
        examination.signed,
        verify_signature(examination.signed, keys),
        problems,
        require_signature,
    )
