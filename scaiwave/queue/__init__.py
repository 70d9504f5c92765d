"""The job queue: RQ's data in Redis, with JSON in place of pickle and a table of functions.

RQ reads jobs with pickle by default, which runs any code. Here jobs are JSON, and a worker runs
only the functions of `scaiwave.queue.jobs`, with arguments that they accept.
"""
