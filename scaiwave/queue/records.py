"""Read jobs from Redis as untrusted data.

Only the fields that are needed are read, and only if they are small. RQ has others that name
functions to call or addresses to send to (callbacks, webhooks); they are ignored.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rq.exceptions import NoSuchJobError
from rq.utils import utcparse

from scaiwave.queue.bounded_values import OversizedValue
from scaiwave.queue.definitions import QUEUES, JobDefinition, RefusalReason
from scaiwave.queue.jobs import JOBS
from scaiwave.queue.raw_values import HashFields, read_hashes

if TYPE_CHECKING:
    from redis import Redis

MAX_DATA_BYTES = 16 * 1024
MAX_FIELD_BYTES = 4 * 1024
_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,120}", re.ASCII)
_FIELDS = (
    *("data", "origin", "status", "created_at", "enqueued_at", "started_at", "ended_at"),
    *("last_heartbeat", "worker_name", "error_code", "error_message", "error_fix", "attempts"),
)
_LIMITS = {name: MAX_DATA_BYTES if name == "data" else MAX_FIELD_BYTES for name in _FIELDS}
MAX_ATTEMPTS_DIGITS = 6


class UnsafeJob(NoSuchJobError):
    """A job that this server must not run; for RQ it does not exist."""

    def __init__(self, reason: RefusalReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True)
class JobRecord:
    """A job that this server may run. Times are None if they are missing or not readable.

    `attempts` is how often a worker has started it, or None if that is not known.
    """

    id: str
    definition: JobDefinition
    arguments: list[Any]
    queue: str
    status: str
    created_at: datetime | None
    enqueued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    worker: str
    attempts: int | None
    error: Mapping[str, str] | None


def parse_job_id(raw: bytes | str) -> str:
    """Raises UnsafeJob."""
    if isinstance(raw, OversizedValue):
        raise UnsafeJob(RefusalReason.SIZE, f"its ID has {raw.size:,} bytes")
    text = raw.decode("ascii", "replace") if isinstance(raw, bytes) else raw
    if not _JOB_ID.fullmatch(text):
        raise UnsafeJob(RefusalReason.ID, "its ID is not one that RQ creates")
    return text


def find_missing(redis: Redis, raw_ids: Sequence[bytes]) -> list[bytes]:
    """Return the IDs of jobs that are not in Redis, a tenth of the work of reading them."""
    job_ids = [raw_id for raw_id in raw_ids if _JOB_ID.fullmatch(raw_id.decode("latin-1"))]
    with redis.pipeline(transaction=False) as pipeline:
        for raw_id in job_ids:
            pipeline.exists(b"rq:job:" + raw_id)
        found = zip(job_ids, pipeline.execute(), strict=True)
    return [raw_id for raw_id, exists in found if not exists]


def read_record(redis: Redis, raw_id: bytes | str) -> JobRecord:
    """Raises NoSuchJobError if there is no such job, and UnsafeJob."""
    (record,) = read_records(redis, [raw_id])
    if isinstance(record, NoSuchJobError):
        raise record
    return record


def read_records(redis: Redis, raw_ids: Sequence[bytes | str]) -> list[JobRecord | NoSuchJobError]:
    """Return each job, or the error of `read_record`, with two requests however many there are."""
    job_ids: dict[int, str] = {}
    found: dict[int, JobRecord | NoSuchJobError] = {}
    for number, raw_id in enumerate(raw_ids):
        try:
            job_ids[number] = parse_job_id(raw_id)
        except UnsafeJob as unsafe:
            found[number] = unsafe
    hashes = read_hashes(redis, [f"rq:job:{job_id}" for job_id in job_ids.values()], _LIMITS)
    for (number, job_id), fields in zip(job_ids.items(), hashes, strict=True):
        try:
            found[number] = _build_record(job_id, fields)
        except NoSuchJobError as error:
            found[number] = error
    return [found[number] for number in range(len(raw_ids))]


def _build_record(job_id: str, found: HashFields[str]) -> JobRecord:
    """Raises NoSuchJobError and UnsafeJob."""
    if not found.is_hash:
        raise UnsafeJob(RefusalReason.FORMAT, "it is not a hash")
    if not any(found.sizes.values()):
        raise NoSuchJobError(f"No such job: {job_id}")
    for name, size in found.sizes.items():
        if size > _LIMITS[name]:
            raise UnsafeJob(RefusalReason.SIZE, f"its {name} has {size:,} bytes")
    fields = {name: found.values.get(name, b"") for name in _FIELDS}
    definition, arguments = _parse_data(fields["data"])
    queue = _get_text(fields, "origin")
    if queue not in QUEUES:
        raise UnsafeJob(RefusalReason.FORMAT, "its queue is not one of this server")
    attempts, error = fields["attempts"], None
    if fields["error_code"]:
        error = {name: _get_text(fields, f"error_{name}") for name in ("code", "message", "fix")}
    is_number = attempts.isdigit() and len(attempts) <= MAX_ATTEMPTS_DIGITS
    return JobRecord(
        id=job_id,
        definition=definition,
        arguments=arguments,
        queue=queue,
        status=_get_text(fields, "status"),
        created_at=_get_time(fields, "created_at"),
        enqueued_at=_get_time(fields, "enqueued_at"),
        started_at=_get_time(fields, "started_at"),
        ended_at=_get_time(fields, "ended_at"),
        worker=_get_text(fields, "worker_name"),
        attempts=int(attempts) if is_number else None,
        error=error,
    )


def _parse_data(data: bytes) -> tuple[JobDefinition, list[Any]]:
    try:
        call = json.loads(_decompress(data))
    except (ValueError, RecursionError):
        is_pickled = _decompress(data)[:1] == b"\x80"
        what = "pickled, as in earlier releases" if is_pickled else "not JSON"
        raise UnsafeJob(RefusalReason.FORMAT, f"it is {what}") from None
    match call:
        case [str(function), None, list(arguments), dict(keywords)]:
            pass
        case _:
            raise UnsafeJob(RefusalReason.FORMAT, "it is not a call of a function")
    definition = JOBS.get(function)
    if definition is None:
        raise UnsafeJob(
            RefusalReason.FUNCTION, f"{function[:120]} is not a function that workers may run"
        )
    if keywords or not definition.accepts(arguments):
        raise UnsafeJob(RefusalReason.ARGUMENTS, f"{definition.name} does not accept its arguments")
    return definition, arguments


def _decompress(data: bytes) -> bytes:
    """Raises UnsafeJob if it is larger than it may be; RQ's data may also be uncompressed."""
    decompressor = zlib.decompressobj()
    try:
        text = decompressor.decompress(data, MAX_DATA_BYTES + 1)
    except zlib.error:
        return data
    if len(text) > MAX_DATA_BYTES:
        raise UnsafeJob(
            RefusalReason.SIZE, f"its data decompresses to more than {MAX_DATA_BYTES:,} bytes"
        )
    return text


def _get_text(fields: Mapping[str, bytes], name: str) -> str:
    return fields[name].decode("utf-8", "replace")


def _get_time(fields: Mapping[str, bytes], name: str) -> datetime | None:
    try:
        return utcparse(_get_text(fields, name))
    except ValueError:
        return None
