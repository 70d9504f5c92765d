"""Verify an export of the audit log, with nothing but the file and a key to trust.

The file is untrusted: a line at a time is in memory, and each fault is a problem, not
an exception.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, BinaryIO
from uuid import UUID

from scaiwave.core.errors import DatabaseUnreachable, MigrationsPending, ScaiWaveError
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.signatures import KnownKey
from scaiwave.extensions import SERVER_SIGNER
from scaiwave.storage.error_mapping import translate_errors
from tenants.audit.queries.checks import ChainCheck, DayCheck, KeptSeal, Pruning, check_pruning
from tenants.audit.queries.format import (
    EXPORT_FORMAT,
    RECORD_BYTES,
    VERSION,
    hash_record,
    parse_json,
)
from tenants.audit.queries.problems import Kind, Problems, VerifyAuditResult
from tenants.audit.queries.records import SealRow, find_seal
from tenants.audit.queries.verify_audit import load_trusted_keys
from tenants.errors import InvalidAuditExport

MAX_LINE_BYTES = 64 * 1024 * 1024
MAX_KEYS = 1000
MAX_NUMBER = 2**63 - 1


def verify_audit_export(
    *,
    operator: Operator | None,
    file: BinaryIO,
    now: datetime,
    keys: list[str],
    kept: Sequence[KeptSeal] = (),
) -> VerifyAuditResult:
    """Verify a file; all problems are in the result.

    `keys` are public keys to trust, `kept` seals that the file must have. With an operator, keys
    whose private key this server has are trusted too, and the seals in the file are compared with
    those in the database. Raises InvalidAuditExport, InvalidKey, and without a database its errors.
    """
    if operator is not None:
        operator.require(Permission.VIEW_PLATFORM)
    try:
        with translate_errors():
            known, trusted = load_trusted_keys(keys, own=operator is not None)
    except (MigrationsPending, DatabaseUnreachable) as error:
        alternative = "Without a database, pass the public key of the server with --key."
        error.fix = f"{error.fix} {alternative}".strip()
        raise
    check = _ExportCheck(known, frozenset(trusted), kept, now, compares=operator is not None)
    return check.run(file)


class _ExportCheck:
    """Reads the lines of a file in their order."""

    def __init__(
        self,
        own: Mapping[str, KnownKey],
        trusted: frozenset[str],
        kept: Sequence[KeptSeal],
        now: datetime,
        *,
        compares: bool,
    ) -> None:
        self._own, self._trusted, self._now, self._compares = own, trusted, now, compares
        self._kept = kept
        self._period: tuple[Any, Any] = (None, None)
        self._keys: dict[str, KnownKey] = dict(own)
        self._problems = Problems()
        self._prunings: list[Pruning] = []
        self._day: DayCheck | None = None
        self._is_pruned = False
        self._entries = 0
        self._unsealed = 0
        self._tenant_id: Any = None
        self._end: Mapping[str, Any] | None = None
        self._chain: ChainCheck

    def run(self, file: BinaryIO) -> VerifyAuditResult:
        self._read_header(_read_line(file))
        self._chain = ChainCheck(
            self._keys, self._trusted, self._problems, is_complete=False, kept=self._kept
        )
        number = 1
        while line := _read_line(file):
            number += 1
            self._read(line, number)
        self._finish_day()
        self._chain.finish()
        self._finish(number)
        chain = self._chain
        first_day, last_day = self._get_days()
        pruned = max((pruning.through for pruning in self._prunings), default=None)
        return VerifyAuditResult(
            seals=chain.seals,
            entries=self._entries,
            first_day=first_day,
            last_day=last_day,
            pruned_through=str(pruned) if pruned else None,
            unsealed=self._unsealed,
            newest_seal=chain.newest_seal,
            key_id=chain.last.key_id if chain.last else None,
            problems=self._problems,
        )

    def _read_header(self, line: bytes) -> None:
        header = _parse(line).get("export")
        if not isinstance(header, dict) or header.get("format") != EXPORT_FORMAT:
            raise InvalidAuditExport("The file is not an export of the audit log.")
        if (version := header.get("version")) != VERSION:
            raise InvalidAuditExport(f"Unsupported version of the export: {version!r:.60}.")
        self._period = (header.get("first_day"), header.get("last_day"))
        self._tenant_id = header.get("tenant_id")
        listed = header.get("keys")
        if not isinstance(listed, list) or len(listed) > MAX_KEYS:
            raise InvalidAuditExport("The export has no list of keys.")
        for text in listed:
            try:
                key = SERVER_SIGNER.load()().parse_key(str(text))
            except ScaiWaveError as error:
                raise InvalidAuditExport(
                    f"The export has an invalid key. {error.message}"
                ) from None
            self._keys.setdefault(key.key_id, key)

    def _read(self, line: bytes, number: int) -> None:
        values = _parse(line)
        kind = next(iter(values), "")
        value = values.get(kind) if len(values) == 1 else None
        if kind == "unsealed" and self._tenant_id:
            self._unsealed += 1
        elif self._end is not None:
            self._report_line(number, "follows the end")
        elif kind == "seal" and (signed := _parse_signed(value)):
            self._read_seal(*signed)
        elif kind == "hashes" and self._day is not None and (hashes := _decode(value)):
            self._day.add_hashes(hashes)
        elif kind == "entry" and self._day is not None and isinstance(value, dict):
            self._day.add_entry(_get_id(value), hash_record(value))
        elif kind == "pruning" and (signed := _parse_signed(value)):
            # Which keys the chain confirms is known at the end.
            checked = check_pruning(
                *signed, keys=self._keys, trusted=self._keys.keys(), now=self._now
            )
            if isinstance(checked, str):
                message = f"A pruning in the file is not valid: {checked}."
                self._problems.add(Kind.PRUNING_INVALID, message)
            else:
                self._prunings.append(checked)
        elif kind == "end" and isinstance(value, dict):
            self._end = value
        else:
            self._report_line(number, "can't be read")

    def _report_line(self, number: int, what: str) -> None:
        self._problems.add(Kind.FILE_DAMAGED, f"Line {number:,} of the file {what}.")

    def _read_seal(self, statement: str, signature: str) -> None:
        self._finish_day()
        # A file has no columns beside the statement that could differ from it.
        values = _parse_object(statement)
        number, day, entries, key_id = map(values.get, ("number", "day", "entries", "key_id"))
        seal = self._chain.add(SealRow(number, day, entries, key_id, statement, signature))
        if seal is None:
            self._day = None
            return
        self._day = DayCheck(seal, self._problems, is_partial=self._tenant_id is not None)
        self._is_pruned = any(seal.day <= pruning.through for pruning in self._prunings)
        for pruning in self._prunings:
            if pruning.through == seal.day and pruning.seal_sha256 != seal.digest:
                message = f"The pruning through {seal.day} is of another seal."
                self._problems.add(Kind.PRUNING_INVALID, message, day=str(seal.day))
        # A file of another server has no seal in common with this one.
        if self._compares and seal.key_id in self._own:
            stored = find_seal("number", seal.number) if seal.number <= MAX_NUMBER else None
            if stored is None or stored.statement != statement:
                message = (
                    f"Seal {seal.number} of {seal.day} is not the one in the database of this "
                    "server, which was restored, or replaced."
                )
                self._problems.add(Kind.DIFFERS_FROM_SERVER, message, day=str(seal.day))

    def _finish_day(self) -> None:
        if self._day is not None and not (self._is_pruned and self._day.is_empty):
            self._entries += self._day.finish()

    def _finish(self, lines: int) -> None:
        confirmed = {*self._trusted, *self._chain.key_ids}
        for pruning in self._prunings:
            if pruning.key_id not in confirmed:
                message = f"The key {pruning.key_id} of the pruning through {pruning.through} "
                self._problems.add(Kind.PRUNING_INVALID, message + "signed no seal in the file.")
        if self._get_days() != self._period:
            message = (
                "The days of the seals differ from the days that the first line of the file names."
            )
            self._problems.add(Kind.FILE_DAMAGED, message)
        expected = {"seals": self._chain.seals, "entries": self._entries}
        if self._end is None:
            message = f"The file ends after line {lines:,}, before its end."
            self._problems.add(Kind.FILE_DAMAGED, message)
        elif {name: self._end.get(name) for name in expected} != expected:
            message = "The file does not have as many seals and entries as its last line says."
            self._problems.add(Kind.FILE_DAMAGED, message)

    def _get_days(self) -> tuple[str | None, str | None]:
        first, last = self._chain.first, self._chain.last
        return str(first.day) if first else None, str(last.day) if last else None


def _read_line(file: BinaryIO) -> bytes:
    line = file.readline(MAX_LINE_BYTES + 1)
    if len(line) > MAX_LINE_BYTES:
        raise InvalidAuditExport(f"A line of the file has more than {MAX_LINE_BYTES:,} bytes.")
    return line


def _parse(line: bytes) -> Mapping[str, Any]:
    """Return the object in a line; a line without one is like an empty object."""
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError:
        return {}
    return _parse_object(text)


def _parse_object(text: str) -> Mapping[str, Any]:
    try:
        values = parse_json(text)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def _parse_signed(value: Any) -> tuple[str, str] | None:
    """Return a statement and its signature, None if there are no such texts."""
    if not isinstance(value, dict):
        return None
    statement, signature = value.get("statement"), value.get("signature")
    if not isinstance(statement, str) or not isinstance(signature, str):
        return None
    return statement, signature


def _decode(value: Any) -> bytes:
    """Return a list of hashes, empty if it is not one."""
    try:
        hashes = base64.b64decode(value, validate=True)
    except (TypeError, ValueError):
        return b""
    return hashes if len(hashes) % RECORD_BYTES == 0 else b""


def _get_id(fields: Mapping[str, Any]) -> str:
    try:
        return UUID(fields["id"]).hex
    except (KeyError, TypeError, ValueError, AttributeError):
        return str(fields.get("id"))
