"""Admin pages about the whole server: jobs, the overview and the report of `scaiwave doctor`."""

from scaiwave.operations.doctor import site as doctor
from scaiwave.operations.jobs import site as jobs
from scaiwave.operations.overview import site as overview

__all__ = ["doctor", "jobs", "overview"]
