"""What doctor says about the media store and about imports that were killed."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import datetime

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db.models import F

from rooms.models import ImportIntent
from rooms.services.imports.intents import clean_up_abandoned
from scaiwave.config import Configuration
from scaiwave.doctor.findings import Finding, failed, passed
from scaiwave.error_mapping import map_storage_error, translate_errors
from scaiwave.media_storage import MediaStoreUnusable, storage_error_types

FOLDER = "doctor"


def check_media_store(config: Configuration, now: datetime) -> Iterator[Finding]:
    """Write a small file, read it, and take it away again."""
    name, content = f"{FOLDER}/{secrets.token_hex(8)}", secrets.token_bytes(64)
    try:
        default_storage.save(name, ContentFile(content))
        try:
            with default_storage.open(name) as file:
                same = file.read() == content
        finally:
            default_storage.delete(name)
    except storage_error_types() as error:
        yield failed("media", map_storage_error(error))
        return
    if same:
        yield passed("media", "The media store keeps what is put there.")
    else:
        yield failed("media", MediaStoreUnusable("The media store gives back other bytes."))


def clean_up_imports(config: Configuration, now: datetime) -> Iterator[Finding]:
    with translate_errors():
        count = clean_up_abandoned(now)
    if count:
        yield passed("imports", f"Took away what {count} killed imports had left.")


def check_imports(config: Configuration, now: datetime) -> Iterator[Finding]:
    intents = ImportIntent.objects.order_by(F("started_at"))
    if oldest := intents.first():
        since = f"{oldest.started_at:%Y-%m-%d %H:%M} UTC"
        yield passed(
            "imports",
            f"{intents.count()} under way, or killed and not tidied up, the oldest since {since}.",
        )
    else:
        yield passed("imports", "None under way, and nothing left behind.")
