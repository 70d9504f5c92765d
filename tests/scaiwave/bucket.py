"""A bucket that refuses everything, in the way of S3's client, which tests do without."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, NoReturn

import pytest
from django.core.files.storage import Storage
from pytest_django import Settings

MODULE = "botocore.exceptions"
SAID = "An error occurred (403) when calling the PutObject operation: Forbidden"
TOLD = f"The media store can't be used: {SAID}."


class BotoCoreError(Exception):
    pass


class ClientError(Exception):
    pass


class RefusingBucket(Storage):
    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ClientError(SAID)

    save = open = size = delete = exists = _refuse


def refuse_everything(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """Make such a bucket the media store."""
    loaded = ModuleType(MODULE)
    vars(loaded).update(BotoCoreError=BotoCoreError, ClientError=ClientError)
    monkeypatch.setitem(sys.modules, MODULE, loaded)
    store = {"BACKEND": "tests.scaiwave.bucket.RefusingBucket"}
    settings.STORAGES = {**settings.STORAGES, "default": store}
