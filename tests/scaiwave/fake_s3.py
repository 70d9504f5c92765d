"""A bucket that refuses every request with the errors of S3's client, which is not installed."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, NoReturn

import pytest
from django.core.files.storage import Storage
from pytest_django import Settings

EXCEPTIONS_MODULE = "botocore.exceptions"
S3_MESSAGE = "An error occurred (403) when calling the PutObject operation: Forbidden"
MESSAGE = f"The media store can't be used: {S3_MESSAGE}."


class BotoCoreError(Exception):
    pass


class ClientError(Exception):
    pass


class RefusingBucket(Storage):
    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ClientError(S3_MESSAGE)

    save = open = size = delete = exists = _refuse


def use_refusing_bucket(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """Make a refusing bucket the media store."""
    module = ModuleType(EXCEPTIONS_MODULE)
    vars(module).update(BotoCoreError=BotoCoreError, ClientError=ClientError)
    monkeypatch.setitem(sys.modules, EXCEPTIONS_MODULE, module)
    store = {"BACKEND": "tests.scaiwave.fake_s3.RefusingBucket"}
    settings.STORAGES = {**settings.STORAGES, "default": store}
