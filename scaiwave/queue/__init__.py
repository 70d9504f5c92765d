"""The job queue: RQ's data in Redis, read as untrusted data.

Anyone who can write to Redis can put anything into the queue. Jobs are JSON, and a worker runs only
the functions of `scaiwave.queue.jobs`, with arguments that they accept. RQ reads jobs with pickle
by default, which runs any code: nothing here uses that.
"""
