"""Validate every entry of an archive: the manifest, the attachments, and signature.json."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256

from rooms.bundle.archive.reader import Archive, hash_chunks
from rooms.bundle.format import MANIFEST, SIGNATURE, media_entry_name, media_hash
from rooms.bundle.manifest.reader import EventCounts, FindOutside, ManifestReader
from rooms.bundle.manifest.references import ReferenceIndex
from rooms.bundle.manifest.schema import (
    BundleCounts,
    ManifestHeader,
    MediaEntry,
    SignedEntry,
    manifest_error,
)
from rooms.bundle.signature import SignatureDocument, read_signature
from rooms.errors import BundleDamaged, BundleDuplicate, BundleError, ContentTooLarge, ImportRefused
from scaiwave.console.progress import ProgressCallback
from scaiwave.core.errors import ScaiWaveError

Report = Callable[[ScaiWaveError], None]
"""Called with each problem; raises it, or stores it so that validation goes on."""


@dataclass
class BundleValidator:
    """Validates an archive once; every problem goes to `report`.

    `find_targets` is for increments, as for `ManifestReader`.
    """

    archive: Archive
    report: Report
    progress: ProgressCallback | None = None
    find_targets: FindOutside | None = None

    def __post_init__(self) -> None:
        self.signature: SignatureDocument | None = None
        self.manifest_sha256 = ""
        self._done = 0
        self._total = sum(entry.size for entry in self.archive.entries.values())
        # Hashes by entry, where the entry name does not have the right one; None for entries that
        # can't be read.
        self._hashes: dict[str, str | None] = {}

    def run(
        self, references: ReferenceIndex, *, cut_references: bool
    ) -> tuple[ManifestHeader, EventCounts] | None:
        """Return the content of the manifest; None if the manifest is invalid."""
        manifest = self._validate_manifest(references, cut_references=cut_references)
        for name in self.archive.entries:
            if media_hash(name):
                self._validate_attachment(name)
        if manifest:
            self._compare_media(manifest[0])
        if SIGNATURE in self.archive.entries:
            self._validate_signature_document()
        if manifest and self.signature:
            self._compare_counts(self.signature.counts, *manifest)
        return manifest

    def _iter_entry(self, name: str) -> Iterator[bytes]:
        for chunk in self.archive.iter_entry(name):
            self._done += len(chunk)
            if self.progress:
                self.progress(self._done, self._total)
            yield chunk

    def _validate_manifest(
        self, references: ReferenceIndex, *, cut_references: bool
    ) -> tuple[ManifestHeader, EventCounts] | None:
        manifest, digest = None, sha256()

        def iter_hashed() -> Iterator[bytes]:
            for chunk in self._iter_entry(MANIFEST):
                digest.update(chunk)
                yield chunk
            self.manifest_sha256 = digest.hexdigest()

        chunks = iter_hashed()
        try:
            reader = ManifestReader(references, self.find_targets)
            manifest = reader.read(chunks, cut_references=cut_references)
        except (BundleError, ImportRefused, ContentTooLarge) as error:
            self.report(error)
        try:
            for _ in chunks:  # the rest
                pass
        except BundleError as error:
            self.report(error)
        self._hashes[MANIFEST] = self.manifest_sha256 or None
        return manifest

    def _validate_attachment(self, name: str) -> None:
        try:
            digest, _ = hash_chunks(self._iter_entry(name))
        except BundleError as error:
            self._hashes[name] = None
            self.report(error)
            return
        if digest != media_hash(name):
            self._hashes[name] = digest
            self._report_damage(name, f"Entry {name} does not have the hash in its name.")

    def _compare_media(self, header: ManifestHeader) -> None:
        """Compare the rows of `media` with each other and with the entries."""
        rows: dict[str, list[MediaEntry]] = {}
        hashes: dict[str, str] = {}
        for row in header.media:
            rows.setdefault(row.sha256, []).append(row)
            if hashes.setdefault(row.media_id, row.sha256) != row.sha256:
                self.report(manifest_error("`media`", f"has two hashes for {row.media_id}"))
        for same_hash in rows.values():
            self._compare_rows(same_hash)
        present = set()
        for name, entry in self.archive.entries.items():
            if (hash_ := media_hash(name)) is None:
                continue
            if hash_ in present:
                self.report(
                    BundleDuplicate(
                        f"The archive has two entries with the bytes of {name}.", entry=name
                    )
                )
                continue
            present.add(hash_)
            self._compare_entry(name, entry.size, rows.get(hash_, []))
        for hash_, same_hash in rows.items():
            # The bytes of an increment's attachment may be in an earlier bundle.
            if same_hash[0].missing is None and hash_ not in present and not header.increment:
                name = media_entry_name(hash_, same_hash[0].name)
                self._report_damage(name, f"Entry {name} is missing.")

    def _compare_rows(self, rows: list[MediaEntry]) -> None:
        """Rows of one hash must agree about its bytes, and have different names."""
        first = rows[0]
        for row in rows[1:]:
            if (row.size, row.missing) != (first.size, first.missing):
                self.report(manifest_error("`media`", f"has two rows that disagree: {row.sha256}"))
        names = {row.name for row in rows}
        if len(names) != len(rows):
            self.report(
                manifest_error("`media`", f"has two rows of {first.sha256} with the same name")
            )

    def _compare_entry(self, name: str, size: int, rows: list[MediaEntry]) -> None:
        if not any(media_entry_name(row.sha256, row.name) == name for row in rows):
            problem = "is not in the manifest's `media`"
        elif rows[0].missing:
            problem = f"exists, but is missing according to the manifest ({rows[0].missing})"
        elif rows[0].size != size:
            problem = f"has {size:,} bytes, but {rows[0].size:,} according to the manifest"
        else:
            return
        self._report_damage(name, f"Entry {name} {problem}.")

    def _validate_signature_document(self) -> None:
        remaining = set(self.archive.entries) - {SIGNATURE}

        def compare(row: SignedEntry) -> None:
            if row.name not in remaining:
                problem = f"{SIGNATURE} lists {row.name!r} twice, or it is not in the archive."
                self._report_damage(row.name, problem)
                return
            remaining.remove(row.name)
            actual = self._hashes.get(row.name, media_hash(row.name))
            if actual is None:
                return  # It was reported before that it can't be read.
            if (actual, self.archive.entries[row.name].size) != (row.sha256, row.size):
                problem = f"Entry {row.name} does not have the hash and size in {SIGNATURE}."
                self._report_damage(row.name, problem)

        chunks = self._iter_entry(SIGNATURE)
        try:
            self.signature = read_signature(chunks, compare)
            for _ in chunks:
                pass
        except BundleError as error:
            self.report(error)
            return
        for name in sorted(remaining):
            self._report_damage(name, f"{SIGNATURE} does not list {name}.")

    def _compare_counts(
        self, signed: BundleCounts, header: ManifestHeader, counts: EventCounts
    ) -> None:
        actual = BundleCounts.from_header(header, events=counts.events)
        for name in BundleCounts.__struct_fields__:
            signed_count, count = getattr(signed, name), getattr(actual, name)
            if signed_count != count:
                self._report_damage(
                    SIGNATURE,
                    f"{SIGNATURE} counts {signed_count:,} {name}; the bundle has {count:,}.",
                )

    def _report_damage(self, entry: str, message: str) -> None:
        self.report(BundleDamaged(message, entry=entry))
