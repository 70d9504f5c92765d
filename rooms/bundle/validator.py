"""Looks at every entry of an archive: the manifest, each attachment, and what signs for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256

from rooms.bundle.archive.reader import Archive
from rooms.bundle.entry_names import media_hash
from rooms.bundle.format import MANIFEST, SIGNATURE, media_entry
from rooms.bundle.manifest.reader import EventCounts, read_manifest
from rooms.bundle.manifest.references import ReferenceIndex
from rooms.bundle.manifest.schema import Head, MediaRow, manifest_error
from rooms.bundle.signature import SignatureDocument, SignedCounts, SignedEntry, read_signature
from rooms.errors import (
    BundleDamaged,
    BundleDuplicate,
    BundleError,
    ContentTooLarge,
    ImportRefused,
)
from scaiwave.console.progress import ProgressCallback
from scaiwave.errors import ScaiWaveError

Report = Callable[[ScaiWaveError], None]
"""Takes what is wrong with one entry; raises it, or remembers it to go on with the next."""


class _Hashed:
    """Chunks, and their hash once they have all come."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._digest = sha256()
        self._failed = False
        self.whole = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            chunk = next(self._chunks)
        except StopIteration:
            self.whole = not self._failed
            raise
        except BundleError:
            self._failed = True
            raise
        self._digest.update(chunk)
        return chunk

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


class BundleValidator:
    """Looks once; what is wrong goes to `report`, which raises it or remembers it."""

    def __init__(
        self, archive: Archive, report: Report, progress: ProgressCallback | None = None
    ) -> None:
        self.signed: SignatureDocument | None = None
        self.manifest_sha256 = ""
        self._archive = archive
        self._report = report
        self._progress = progress
        self._done = 0
        self._total = sum(entry.size for entry in archive.entries.values())
        # Hashes that are not in the name of their entry; None of what could not be read.
        self._hashes: dict[str, str | None] = {}

    def run(
        self, references: ReferenceIndex, *, cut_references: bool
    ) -> tuple[Head, EventCounts] | None:
        """What is in the bundle; None where the manifest is no good."""
        whole = self._examine_manifest(references, cut_references=cut_references)
        for name in self._archive.entries:
            if media_hash(name):
                self._examine_media(name)
        if whole:
            self._compare_media(whole[0])
        if SIGNATURE in self._archive.entries:
            self._examine_signature()
        if whole and self.signed:
            self._check_signed_counts(self.signed.counts, *whole)
        return whole

    def _chunks(self, name: str) -> Iterator[bytes]:
        for chunk in self._archive.chunks(name):
            self._done += len(chunk)
            if self._progress:
                self._progress(self._done, self._total)
            yield chunk

    def _examine_manifest(
        self, references: ReferenceIndex, *, cut_references: bool
    ) -> tuple[Head, EventCounts] | None:
        chunks = _Hashed(self._chunks(MANIFEST))
        whole = None
        try:
            whole = read_manifest(chunks, references, cut_references=cut_references)
        except (BundleError, ImportRefused, ContentTooLarge) as error:
            self._report(error)
        self._hashes[MANIFEST] = self._hash_of_rest(chunks)
        self.manifest_sha256 = self._hashes[MANIFEST] or ""
        return whole

    def _hash_of_rest(self, chunks: _Hashed) -> str | None:
        """Its hash, also when it was not read to its end; None when that is impossible."""
        try:
            for _ in chunks:
                pass
        except BundleError as error:
            self._report(error)
        return chunks.sha256 if chunks.whole else None

    def _examine_media(self, name: str) -> None:
        digest = sha256()
        try:
            for chunk in self._chunks(name):
                digest.update(chunk)
        except BundleError as error:
            self._hashes[name] = None
            self._report(error)
            return
        if digest.hexdigest() != media_hash(name):
            self._hashes[name] = digest.hexdigest()
            self._report(
                BundleDamaged(f"The bytes of {name} do not have the hash in its name.", entry=name)
            )

    def _compare_media(self, head: Head) -> None:
        rows: dict[str, list[MediaRow]] = {}
        hashes: dict[str, str] = {}
        for row in head.media:
            rows.setdefault(row.sha256, []).append(row)
            if hashes.setdefault(row.media_id, row.sha256) != row.sha256:
                self._report(manifest_error("`media`", f"gives two hashes to {row.media_id}"))
        for same in rows.values():
            self._check_rows(same)
        there = set()
        for name, entry in self._archive.entries.items():
            if (hash_ := media_hash(name)) is None:
                continue
            if hash_ in there:
                self._report(
                    BundleDuplicate(f"The bytes of {name} are in the archive twice.", entry=name)
                )
                continue
            there.add(hash_)
            self._check_entry(name, entry.size, rows.get(hash_, []))
        for hash_, same in rows.items():
            if same[0].missing is None and hash_ not in there:
                name = media_entry(hash_, same[0].name)
                self._report(BundleDamaged(f"The entry {name} is missing.", entry=name))

    def _check_rows(self, same: list[MediaRow]) -> None:
        """Rows of one hash say the same about its bytes, each under a name of its own."""
        first = same[0]
        for row in same[1:]:
            if (row.size, row.missing) != (first.size, first.missing):
                self._report(manifest_error("`media`", f"says two things of {row.sha256}"))
        names = {row.name for row in same}
        if len(names) != len(same):
            self._report(manifest_error("`media`", f"has two rows of {first.sha256} with one name"))

    def _check_entry(self, name: str, size: int, rows: list[MediaRow]) -> None:
        if not any(media_entry(row.sha256, row.name) == name for row in rows):
            trouble = "is not in the manifest's `media`"
        elif rows[0].missing:
            trouble = f"is there, but missing according to the manifest ({rows[0].missing})"
        elif rows[0].size != size:
            trouble = f"has {size:,} bytes; the manifest says {rows[0].size:,}"
        else:
            return
        self._report(BundleDamaged(f"The entry {name} {trouble}.", entry=name))

    def _examine_signature(self) -> None:
        left = set(self._archive.entries) - {SIGNATURE}

        def take(row: SignedEntry) -> None:
            if row.name in left:
                left.remove(row.name)
                self._check_signed_row(row)
            else:
                self._report(
                    BundleDamaged(
                        f"{SIGNATURE} names {row.name!r}, which is not in the archive, or twice.",
                        entry=row.name,
                    )
                )

        chunks = self._chunks(SIGNATURE)
        try:
            self.signed = read_signature(chunks, take)
            for _ in chunks:
                pass
        except BundleError as error:
            self._report(error)
            return
        for name in sorted(left):
            self._report(BundleDamaged(f"{SIGNATURE} does not name {name}.", entry=name))

    def _check_signed_row(self, row: SignedEntry) -> None:
        found = self._hashes.get(row.name, media_hash(row.name))
        if found is None:
            return  # It was reported before that it can't be read.
        if (found, self._archive.entries[row.name].size) != (row.sha256, row.size):
            self._report(
                BundleDamaged(
                    f"The entry {row.name} does not have the hash and size in {SIGNATURE}.",
                    entry=row.name,
                )
            )

    def _check_signed_counts(self, signed: SignedCounts, head: Head, counts: EventCounts) -> None:
        found = {
            "events": counts.events,
            "senders": len(head.senders),
            "media": len(head.media),
            "missing_media": sum(row.missing is not None for row in head.media),
        }
        for name, count in found.items():
            if (said := getattr(signed, name)) != count:
                self._report(
                    BundleDamaged(
                        f"{SIGNATURE} counts {said:,} {name}; the bundle has {count:,}.",
                        entry=SIGNATURE,
                    )
                )
