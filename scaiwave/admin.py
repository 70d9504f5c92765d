"""Admin pages about the whole server: jobs, the overview and the report of `scaiwave doctor`."""

from scaiwave.operations import site
from scaiwave.operations.jobs import site as jobs

__all__ = ["jobs", "site"]
