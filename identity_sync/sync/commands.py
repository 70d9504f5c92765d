"""The commands that the errors of a run advise."""

from __future__ import annotations

from dataclasses import dataclass
from shlex import quote


@dataclass(frozen=True)
class RunCommands:
    """`tenant` is the slug of the only tenant; `apply`, if set, applies the file of this plan."""

    tenant: str | None = None
    apply: str = ""

    @property
    def sync(self) -> str:
        """The command that makes the plan of this run again."""
        return f"scaiwave sync{self._option}"

    @property
    def removals(self) -> str:
        """The command that lists the removals that wait."""
        return f"scaiwave sync removals{self._option}"

    @property
    def _option(self) -> str:
        return f" --tenant {quote(self.tenant)}" if self.tenant else ""

    @property
    def again(self) -> str:
        return self.apply or self.sync
