"""Functions of a test in place of those that the extension table names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Provided:
    function: Callable[..., Any]

    def load(self) -> Callable[..., Any]:
        return self.function
