"""Backfill of the search index: write what is missing or outdated, remove what is stale.

In the order of a backfill: `runs` finds the unfinished run of a scope or plans a new one in
ranges; `backfill` works on the ranges in this process, or has jobs do it (`queue`); `worker`
processes one range in steps; `completion` repairs what changed in between, counts, and finishes
the run. The index itself is `rooms.search`.
"""
