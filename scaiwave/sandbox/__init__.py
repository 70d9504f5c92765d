"""A local ScaiKey with sample data, for evaluation, the demo, tests and benchmarks.

A request passes through `http.server` (the connection), `server` (faults, routing) and the handlers
in `api`, which read and change the sample data in `data`. The package does not import Django or
the apps.
"""

from __future__ import annotations

from scaiwave.sandbox.server import Sandbox

__all__ = ["Sandbox"]
