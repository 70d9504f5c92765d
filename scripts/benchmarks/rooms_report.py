"""The runs of one comparison, and the table of their ratios."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median

from scripts.benchmarks.metrics import MIB, format_table
from scripts.benchmarks.rooms_timer import Run

TITLES = ("seconds", "per second", "ours ÷ this", "lowest", "highest", "target", "CPU s", "peak MB")
START, LIST_TENANTS = "… of an empty room", "scaiwave admin list-tenants"
"""What starts Python and Django, and handles no items."""


@dataclass
class Block:
    """All runs on one database of an act on so many items, and of its baselines.

    `runs` are by name, and the first name is the act. The runs of each name have the same order:
    runs of one number ran one after the other, and are compared with each other.
    """

    database: str
    act: str
    items: int
    unit: str = "events"
    targets: Mapping[str, float] = field(default_factory=dict)
    runs: dict[str, list[Run]] = field(default_factory=dict)

    def add(self, name: str, run: Run) -> None:
        self.runs.setdefault(name, []).append(run)

    def _get_median(self, name: str, key: str) -> float:
        return median(float(run[key]) for run in self.runs[name])

    @property
    def peak(self) -> float:
        """Return the highest memory use of our runs, in MB."""
        return max(int(run["peak_memory"]) for run in self.runs[self.act]) / MIB

    def format(self) -> str:
        heading = f"{self.database}, {self.items:,} {self.unit}"
        return format_table((heading, *TITLES), [self._build_row(name) for name in self.runs])

    def _build_row(self, name: str) -> list[str]:
        ratios, target, peak = ["-"] * 3, "-", "-"
        if name == self.act:
            peak = f"{self.peak:.0f}"
        else:
            pairs = sorted(self._iter_ratios(name))
            ratios = [f"{ratio:.2f}" for ratio in (median(pairs), pairs[0], pairs[-1])]
            target = f"≥ {self.targets[name]:g}" if name in self.targets else "-"
        seconds, processor = self._get_median(name, "seconds"), self._get_median(name, "processor")
        rate = "-" if name in {START, LIST_TENANTS} else f"{self.items / seconds:,.0f}"
        return [name, f"{seconds:.2f}", rate, *ratios, target, f"{processor:.2f}", peak]

    def _iter_ratios(self, name: str) -> Iterator[float]:
        for ours, theirs in zip(self.runs[self.act], self.runs[name], strict=True):
            yield theirs["seconds"] / ours["seconds"]
