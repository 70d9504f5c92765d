"""Plan files: the changes of a sync, written for review and read again to apply its losses.

A plan file is one JSON document with one row a line, so that a plan of any size is written and read
in little memory. Its last line is a signature over everything before it, made with this server's
secret key: a plan that was cut off, changed or made by another server is recognised. The file is
read once, because another process may change it between two readings. For the other things that
bind a plan see `PlanHead`.
"""

from __future__ import annotations

import hmac
import json
import os
import re
import shlex
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import dropwhile, islice, takewhile
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

import msgspec
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.crypto import salted_hmac

from identity_sync.encoding import ChangeRow, RemovalRow, encode_change
from identity_sync.errors import (
    SyncPlanChanged,
    SyncPlanExpired,
    SyncPlanInvalid,
    SyncPlanUnreadable,
)
from identity_sync.models import SyncRun
from identity_sync.report import PlanRow, SyncReport
from identity_sync.sync.judge.removals import (
    describe_difference,
    digest_removals,
    iter_planned_removals,
)
from identity_sync.sync.record.changes import iter_all_changes
from scaiwave.config.secret_keys import describe_missing_secret_key
from scaiwave.console.output import strip_control_chars, to_json
from scaiwave.core.clock import is_in_future
from scaiwave.core.completed_work import record_completed
from scaiwave.core.draft_journal import announce_drafts
from scaiwave.core.errors import FileUnwritable
from scaiwave.core.files import atomic_write, open_regular, remove_drafts_in, translate_write_errors
from tenants.models import Tenant

FORMAT = "scaiwave-sync-plan"
VERSION = 2
MAX_AGE = timedelta(hours=24)
"""Older plans are refused: a review does not stay true indefinitely."""

MAX_BYTES = 4 * 1024**3
MAX_HEAD_BYTES = 1024**2
MAX_LINE_BYTES = 64 * 1024

_SALT = "identity_sync.plan_file"
_REMOVALS = '"removals": [\n'
_CHANGES = '],\n"changes": [\n'
_TAIL = re.compile(rb'\],\n"signature": "([0-9a-f]{64})"\n\}\n')
_TAIL_BYTES = len('],\n"signature": ""\n}\n') + 64


class PlanHead(msgspec.Struct, frozen=True):
    """The server, database and run of a plan, and its counts.

    A plan is for one server (`server_name`), one ScaiKey (`scaikey_url`), one database (which has
    its `run_id`) and one tenant or all (None). `losses` counts the losses of access by kind;
    `digest` identifies the removals, with the rows that depend on them. `with_removals` is false
    for a plan with `--no-removals`.
    """

    format: str
    version: int
    created_at: datetime
    server_name: str
    scaikey_url: str
    run_id: UUID
    tenant_id: UUID | None
    tenant: str | None
    with_removals: bool
    kinds: dict[str, dict[str, int]]
    losses: dict[str, int]
    digest: str
    warnings: list[str]

    @property
    def expires_at(self) -> datetime:
        return self.created_at + MAX_AGE


def describe_plan(path: Path, head: PlanHead, applied_at: datetime | None = None) -> PlanRow:
    return PlanRow(
        path=str(path), digest=head.digest, expires_at=head.expires_at, applied_at=applied_at
    )


def format_apply_command(path: Path) -> str:
    """Return the command that applies a plan."""
    return f"scaiwave sync --apply {_quote_path(path)}"


def _quote_path(path: Path) -> str:
    """Quote a path for the shell, so that it is not taken for an option either."""
    text = str(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


@contextmanager
def open_new_plan(path: Path) -> Iterator[BinaryIO]:
    """Yield a file for a plan that takes the place of `path` at the end, with mode 0600.

    An existing plan is replaced. A symbolic link, and a file of another user, are not: the plan
    has personal data. Raises `SettingMissing`, `FileUnwritable` or `DiskFull`; `path` is then
    unchanged.
    """
    _start_mac()  # Fail before the run, and not at its end.
    text = str(path)
    if text != strip_control_chars(text):
        # The report prints the command that applies the plan, so that it can be copied.
        raise FileUnwritable(
            f"A plan can't be written to {text!r}: the name has characters that can't be printed.",
            fix="Choose a name without control characters, in UTF-8.",
        )
    target = path.absolute()
    _ensure_replaceable(target)
    remove_killed_plans(target.parent)
    with announce_drafts(settings.HOME, target.parent), _open_draft(target) as file:
        yield file


def remove_killed_plans(directory: Path) -> None:
    """Remove what killed processes left of plans in a directory, if it can be read.

    They may have personal data.
    """
    with suppress(OSError):
        remove_drafts_in(directory)


@contextmanager
def _open_draft(target: Path) -> Iterator[BinaryIO]:
    """Translate only errors of this file: others pass unchanged."""
    with ExitStack() as stack:
        with translate_write_errors(target):
            draft = atomic_write(target, keep_owner=False, follow_links=False)
            file = stack.enter_context(draft)
        yield file
        with translate_write_errors(target):
            stack.close()
    record_completed(f"sync plan: {target}", command=f"{format_apply_command(target)} --dry-run")


def _ensure_replaceable(target: Path) -> None:
    with translate_write_errors(target):
        try:
            status = target.lstat()
        except FileNotFoundError:
            return
    problem = None
    if stat.S_ISLNK(status.st_mode):
        problem = "it is a symbolic link"
    elif not stat.S_ISREG(status.st_mode):
        problem = "it is not a regular file"
    elif status.st_uid != os.geteuid():
        problem = "it belongs to another user"
    if problem:
        raise FileUnwritable(
            f"{target} can't be written: {problem}.",
            fix="Name another file, in a directory of your own.",
        )


@dataclass(frozen=True)
class PlanWriter:
    """Writes a plan to an open file; `path` is its name."""

    file: BinaryIO
    path: Path

    def write(
        self, report: SyncReport, removals: bool, *, tenant: Tenant | None, now: datetime
    ) -> None:
        """Write the plan, and describe the file in the report. Raises `DiskFull` and
        `FileUnwritable`."""
        config = settings.CONFIG
        if report.run_id is None:
            raise RuntimeError("A sync that writes a plan has a run.")
        head = PlanHead(
            format=FORMAT,
            version=VERSION,
            created_at=now,
            server_name=config.get_str("SCAIWAVE_SERVER_NAME"),
            scaikey_url=config.get_url("SCAIWAVE_SCAIKEY_URL"),
            run_id=report.run_id,
            tenant_id=tenant.pk if tenant else None,
            tenant=tenant.slug if tenant else None,
            with_removals=removals,
            kinds=report.counts(),
            losses=report.losses,
            digest=digest_removals(),
            warnings=report.warnings,
        )
        write_plan(
            self.file, self.path, head, removals=iter_planned_removals(), changes=_iter_changes()
        )
        report.plan = describe_plan(self.path, head)


def _iter_changes() -> Iterator[ChangeRow]:
    for each in iter_all_changes():
        yield encode_change(
            each, action=each.action, tenant=each.tenant, fields=each.fields, values=each.values
        )


def _start_mac() -> hmac.HMAC:
    """Raises `SettingMissing`."""
    try:
        return salted_hmac(_SALT, b"", algorithm="sha256")
    except ImproperlyConfigured:
        raise describe_missing_secret_key(settings.CONFIG) from None


def write_plan(
    file: BinaryIO,
    path: Path,
    head: PlanHead,
    *,
    removals: Iterable[Mapping[str, object]],
    changes: Iterable[Mapping[str, object]],
) -> None:
    """Write a plan. Raises `DiskFull` or `FileUnwritable`."""
    mac = _start_mac()

    def write(text: str) -> None:
        data = text.encode("utf-8", "replace")
        mac.update(data)
        with translate_write_errors(path):
            file.write(data)

    write("{\n")
    for name, value in msgspec.to_builtins(head).items():
        write(f"{to_json(name)}: {to_json(value, indent=None)},\n")
    # For people: a reader computes it from `created_at`, so that it is not part of the head.
    write(f'"expires_at": {to_json(head.expires_at, indent=None)},\n')
    for heading, rows in ((_REMOVALS, removals), (_CHANGES, changes)):
        write(heading)
        separator = ""
        for row in rows:
            write(separator + to_json(row, indent=None))
            separator = ",\n"
        write("\n" if separator else "")
    with translate_write_errors(path):
        file.write(f'],\n"signature": "{mac.hexdigest()}"\n}}\n'.encode())


@dataclass(frozen=True)
class ReviewedPlan:
    """A plan whose signature is valid. Its removals are read again to describe a difference."""

    path: Path
    head: PlanHead

    def describe(self) -> PlanRow:
        return describe_plan(self.path, self.head)

    def ensure_valid_at(self, now: datetime) -> None:
        """Raises `SyncPlanExpired`."""
        if is_in_future(self.head.created_at, now):
            raise SyncPlanExpired(
                f"{self.path} is dated in the future: {self.head.created_at:%Y-%m-%d %H:%M} UTC.",
                fix=f"Check the clock of this server, then make a new plan. {SyncPlanExpired.fix}",
            )
        if now > self.head.expires_at:
            raise SyncPlanExpired(
                f"{self.path} is more than {MAX_AGE.total_seconds() / 3600:.0f} hours old."
            )

    def find_report(self) -> SyncReport | None:
        """Return the report if a run has applied this plan: that run, and no changes."""
        run = SyncRun.objects.written().filter(applied_plan=self.head.run_id).first()
        if run is None:
            return None
        plan = describe_plan(self.path, self.head, run.ended_at)
        return SyncReport(run_id=run.pk, outcome=run.outcome, plan=plan)

    def iter_removals(self) -> Iterator[RemovalRow]:
        """Yield the removals of the file as it is now, for the text of an error.

        Raises `SyncPlanUnreadable` and `SyncPlanInvalid`.
        """
        with _open_file(self.path) as file:
            # One row a line, between the heading of the removals and the end of their list.
            lines = iter(partial(file.readline, MAX_LINE_BYTES), b"")
            rows = islice(dropwhile(_REMOVALS.encode().__ne__, lines), 1, None)
            for line in takewhile(b"],\n".__ne__, rows):
                try:
                    yield msgspec.json.decode(line.rstrip().removesuffix(b","), type=RemovalRow)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    raise SyncPlanInvalid(
                        f"{self.path} is not a plan: a removal can't be read."
                    ) from None

    def ensure_same_removals(self, *, plan_command: str) -> None:
        """Compare the removals with the plan made now.

        `plan_command` is the command that makes a new plan. Raises `SyncPlanChanged`.
        """
        if digest_removals() == self.head.digest:
            return
        difference = describe_difference(self.iter_removals()) or "others depend on them"
        summary = f"The losses of access differ from {self.path}"
        raise SyncPlanChanged(
            f"{summary}: {difference}. No changes were made.",
            summary=f"{summary}. No changes were made.",
            fix=f"Make a new plan and review it: `{plan_command} --plan {_quote_path(self.path)}`.",
        )


def read_plan(path: Path) -> ReviewedPlan:
    """Read a plan file once, and check that this server made it for this ScaiKey and database.

    Raises `SettingMissing`, `SyncPlanUnreadable` and `SyncPlanInvalid`.
    """
    with _open_file(path) as file:
        head = _read_signed_head(file, path)
    config = settings.CONFIG
    if head.server_name != config.get_str("SCAIWAVE_SERVER_NAME"):
        raise SyncPlanInvalid(f"{path} is a plan for server {head.server_name}.")
    if head.scaikey_url != config.get_url("SCAIWAVE_SCAIKEY_URL"):
        raise SyncPlanInvalid(f"{path} is a plan for the ScaiKey at {head.scaikey_url}.")
    # The run that wrote the plan is in the database that the plan is for.
    run = SyncRun.objects.filter(pk=head.run_id).first()
    if run is None or run.tenant_id != head.tenant_id:
        raise SyncPlanInvalid(f"{path} is a plan for another database.")
    return ReviewedPlan(path, head)


@contextmanager
def _open_file(path: Path) -> Iterator[BinaryIO]:
    """Raises `SyncPlanUnreadable`, such as for a disk that fails, and `SyncPlanInvalid`."""
    try:
        opened = open_regular(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "the name is invalid"
        if isinstance(error, FileNotFoundError):
            reason = "it does not exist"
        again = f"or write a new plan: `scaiwave sync --plan {shlex.quote(str(path.absolute()))}`"
        fix = f"Correct the path, run this as the user who wrote the plan, {again}."
        raise SyncPlanUnreadable(f"{path} can't be read: {reason}.", fix=fix) from None
    with opened as file:
        if os.fstat(file.fileno()).st_size > MAX_BYTES:
            raise SyncPlanInvalid(f"{path} is not a plan: it is too large.")
        try:
            yield file
        except OSError as error:
            raise SyncPlanUnreadable(f"{path} can't be read: {error.strerror}.") from None


def _read_signed_head(file: BinaryIO, path: Path) -> PlanHead:
    """Return what is before the removals, if the signature is for exactly the bytes that are read.

    No byte is read twice. Raises `SyncPlanInvalid`.
    """
    # The end first, so that a large file that is not a plan is not read.
    remaining = os.fstat(file.fileno()).st_size - _TAIL_BYTES
    file.seek(max(0, remaining))
    if (tail := _TAIL.fullmatch(file.read(_TAIL_BYTES + 1))) is None:
        raise SyncPlanInvalid(f"{path} is not a whole plan.")
    file.seek(0)
    mac, head, is_head = _start_mac(), b"", True
    while remaining > 0 and (line := file.readline(min(remaining, MAX_LINE_BYTES))):
        mac.update(line)
        remaining -= len(line)
        is_head = is_head and line != _REMOVALS.encode()
        head += line if is_head else b""
        if len(head) > MAX_HEAD_BYTES:
            raise SyncPlanInvalid(f"{path} is not a plan: its head is too large.")
    if not hmac.compare_digest(mac.hexdigest().encode(), tail.group(1)):
        raise SyncPlanInvalid(f"{path} was changed after it was written, or by another server.")
    try:
        values = json.loads(head.rstrip().removesuffix(b",") + b"}")
        if (values.get("format"), values.get("version")) != (FORMAT, VERSION):
            raise SyncPlanInvalid(f"{path} was written by another release.")
        return msgspec.convert(values, PlanHead)
    except (ValueError, AttributeError, RecursionError, msgspec.ValidationError):
        raise SyncPlanInvalid(f"{path} is not a plan.") from None
