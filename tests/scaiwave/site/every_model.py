"""Run a test with each model of the suite."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.db import transaction

OURS = {"tenants", "federation", "rooms", "identity_sync", "scaiwave"}
MODELS = [model for model in apps.get_models() if model._meta.app_label in OURS]


def every_model(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test with each model, on the same rows: creating them takes longer than a page.

    What the test does with a model is undone. Its fixtures create the rows.
    """

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        for model in MODELS:
            try:
                with transaction.atomic():
                    test(model=model, **fixtures)
                    transaction.set_rollback(True)
            except BaseException as error:
                error.add_note(f"With {model._meta.label}.")
                raise

    signature = inspect.signature(test)
    fixtures = [each for name, each in signature.parameters.items() if name != "model"]
    run.__signature__ = signature.replace(parameters=fixtures)  # type: ignore[attr-defined]
    return pytest.mark.slow(run)  # type: ignore[no-any-return]
