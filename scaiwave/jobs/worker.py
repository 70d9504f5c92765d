"""The former path of the worker, which is on a floor that this package must not import."""

from typing import Any

from django.utils.module_loading import import_string


def __getattr__(name: str) -> Any:
    if name != "SuiteWorker":
        raise AttributeError(name)
    return import_string("scaiwave.operations.jobs.worker.SuiteWorker")
