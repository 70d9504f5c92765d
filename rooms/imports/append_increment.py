"""Import an increment into the room that its base was imported as, completely or not at all.

The IDs of an imported room follow from the room and the old IDs, so an event is found without its
base. `apply_increment` writes the changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

from rooms.bundle.chain import gap_error
from rooms.bundle.chain_files import find_chain, open_chain_files
from rooms.bundle.manifest.schema import Increment, ManifestHeader, format_timestamp
from rooms.errors import NOTHING_IMPORTED, BundleChainOther, BundleError, ImportRefused
from rooms.imports.apply_increment import AppendResult, IncrementImport, LocalChanges, find_events
from rooms.imports.id_mapping import IdMapper
from rooms.imports.import_room import (
    BundleImport,
    ImportRequest,
    ImportResult,
    find_import,
    import_room,
    open_import,
    signature_warning,
)
from rooms.imports.permissions import ImportTarget
from rooms.models import RoomImport
from scaiwave.config.server_name import normalize_server_name
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.sql import batched


def append_increment(
    *,
    operator: Operator,
    request: ImportRequest,
    file: BinaryIO,
    local_changes: LocalChanges = LocalChanges.REFUSE,
) -> AppendResult:
    """Import one increment, from a file that may be a pipe.

    Raises the errors of `import_room`; `BundleChainGap` or `BundleChainOther` if the increment does
    not follow the imported ones, `ImportRefused` if only they have a signature from a known key,
    `ImportLocalChanges`, and `OnHold` if it changes or deletes what a hold covers. Then nothing has
    changed: it can be imported once the hold is lifted.
    """
    operator.require(Permission.IMPORT_ROOMS)
    target = request.resolve_target(operator)
    finder = _RoomFinder(target)
    with open_import(operator, target, file, request, finder.find_targets) as run:
        header = run.bundle.header
        if header.increment is None:
            raise BundleChainOther(
                "The bundle is a whole one, not an increment.",
                fix="Import it without --append, as a new room.",
            )
        imported = finder.find(header)
        room, sequence = imported.room, header.increment.chain.sequence
        result = AppendResult(room.pk, room.name, sequence, run.verification.status.value)
        if not _is_applied(imported, header, run.bundle.manifest_sha256):
            _require_signature(run, imported)
            result.dry_run = run.request.dry_run
            result.warnings += filter(None, [signature_warning(run)])
            IncrementImport(run, run.bundle, imported, local_changes, result).apply()
    return result


def import_chain(
    *,
    operator: Operator,
    request: ImportRequest,
    chain: Path,
    to_sequence: int | None = None,
    local_changes: LocalChanges = LocalChanges.REFUSE,
    on_result: Callable[[ImportResult | AppendResult], None],
) -> None:
    """Import the chain of a directory: its base, unless it was imported before, and each bundle.

    The whole chain is validated first. `on_result` gets the result of each bundle. An interrupted
    import leaves the last whole bundle, and the next one continues there. Raises the errors of
    `append_increment`.
    """
    operator.require(Permission.IMPORT_ROOMS)
    max_bytes, progress_factory = request.max_bytes, request.progress_factory
    try:
        with open_chain_files(
            find_chain(chain),
            max_bytes=max_bytes,
            progress_factory=progress_factory,
            to_sequence=to_sequence,
        ) as opened:
            files = [Path(item.name) for item in opened.bundles]
    except BundleError as error:
        error.fix = f"{NOTHING_IMPORTED} {error.advice}"
        raise
    with files[0].open("rb") as file:
        base = import_room(operator=operator, request=request, file=file, once=True)
    on_result(replace(base, warnings=[*base.warnings, *_warn_of_earlier_room(base)]))
    for path in files[1:]:
        with path.open("rb") as file:
            item = append_increment(
                operator=operator, request=request, file=file, local_changes=local_changes
            )
        on_result(item)


def _warn_of_earlier_room(base: ImportResult) -> Iterator[str]:
    """Warn if increments of an earlier base of the room were imported into the workspace."""
    if not base.imported:
        return
    new = RoomImport.objects.get(room=base.room_id)
    earlier = RoomImport.objects.filter(
        tenant=new.tenant_id,
        source_room_id=new.source_room_id,
        room__workspace=new.room.workspace_id,
        room__deleted_at=None,
    ).exclude(links=[])
    for room_id in earlier.order_by("-created_at").values_list("room", flat=True)[:1]:
        yield (
            f"The chain has a new base, so its copy continues in this new room. Room {room_id}, "
            "of an earlier base, gets no more increments: delete it if you don't need it."
        )


class _RoomFinder:
    """Finds the room of an increment, and events in it."""

    def __init__(self, target: ImportTarget) -> None:
        self._target = target
        self._found: RoomImport | None = None

    def find(self, header: ManifestHeader) -> RoomImport:
        """Return the newest import of the base into the workspace. Raises `BundleChainOther`."""
        if self._found is None:
            root = cast(Increment, header.increment).chain.root
            self._found = find_import(self._target, root)
            if self._found is None:
                raise BundleChainOther(
                    f"{self._target.participant} has imported no room into workspace "
                    f"{self._target.workspace.slug} from the base of this increment, whose "
                    f"manifest has the SHA-256 {root}.",
                    fix="Name with --as who imported the base, or import the base first.",
                )
            if self._found.source_room_id != header.room.id:
                raise BundleChainOther("The increment is of another room than its base.")
        return self._found

    def find_targets(self, header: ManifestHeader, targets: Sequence[str]) -> Iterator[str]:
        """Yield the IDs, as the bundle has them, of events that exist in the room."""
        room = self.find(header).room
        valid = [target for target in targets if len(target) == 36]
        new_ids = dict(zip(IdMapper(room.pk).map_to_hex(valid), valid, strict=True))
        for part in batched(new_ids):
            for event in find_events(room, part):
                yield new_ids[event.pk.hex]


def _require_signature(run: BundleImport, imported: RoomImport) -> None:
    """Refuse an increment by someone else, or of another server, than the bundles before it."""
    name, before = run.bundle.header.server_name, imported.source_server_name
    if not run.is_named and normalize_server_name(name) != normalize_server_name(before):
        raise ImportRefused(
            f"The increment names {name}, but its base {before}, and no key proves the new name.",
            fix=f"{NOTHING_IMPORTED} After a rename, pass the new descriptor with --descriptor, "
            "or import a whole export.",
        )
    if not imported.is_signed or run.is_trusted or run.request.accept_unsigned:
        return
    problem = signature_warning(run)
    raise ImportRefused(
        f"{problem} A known key has signed the bundles before it.",
        fix="Nothing was imported. Get the increment again, signed, and pass its key with --key if "
        "it is not this server's. --accept-unsigned imports this one all the same.",
    )


def _is_applied(imported: RoomImport, header: ManifestHeader, manifest_sha256: str) -> bool:
    """Return whether an increment was imported before. Raises an error if it is not the next
    one."""
    if imported.tip_exported_at is None:
        raise ImportRefused(
            f"Room {imported.room_id} was imported by a release without --append.",
            fix="Nothing was imported. Import the chain again, as a new room.",
        )
    chain, bundles = cast(Increment, header.increment).chain, imported.links
    sequence, last, room = chain.sequence, f"increment {len(bundles):,}", f"room {imported.room_id}"
    if sequence > len(bundles) + 1:
        raise gap_error(range(len(bundles) + 1, sequence), sequence - len(bundles) - 1)
    if sequence <= len(bundles):
        if bundles[sequence - 1] == manifest_sha256:
            return True
        problem = f"Another increment {sequence:,} was imported into {room} before."
    elif chain.parent != (bundles[-1] if bundles else imported.manifest_sha256):
        problem = f"The increment does not follow {last}, which was imported into {room}."
    elif not format_timestamp(imported.tip_exported_at) == chain.since <= header.exported_at:
        problem = f"The increment was exported before {last}, which was imported into {room}."
    else:
        return False
    raise BundleChainOther(
        problem,
        fix=f"{NOTHING_IMPORTED} If that increment was forged, import the base again, without "
        "--once: its increments follow in that new room.",
    )
