"""A loopback ScaiKey to try everything against without an account: demo, tests, benchmarks.

It imports neither Django nor the rest of the project besides its errors.
"""

from __future__ import annotations

from scaiwave.sandbox.server import Sandbox

__all__ = ["Sandbox"]
