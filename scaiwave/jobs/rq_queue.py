"""The former path of `scaiwave.queue.rq_queue`."""

from scaiwave.queue.rq_queue import SuiteJob, SuiteQueue

__all__ = ["SuiteJob", "SuiteQueue"]
