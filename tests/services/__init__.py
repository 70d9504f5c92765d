"""Throw-away PostgreSQL and Redis for tests.

`scripts/test` starts both for its two runs of pytest; pytest on its own starts one when the first
test asks for it. Each server belongs to a small keeper process, which stops it and removes its
folder as soon as whoever asked for it is gone, in whatever way that process ended.

Settings, all read from the environment:

    SCAIWAVE_TEST_POSTGRES    where PostgreSQL's programs are: a folder, or `wheel` for those of
                              the Python package; empty is PATH, then the usual places, then wheel
    SCAIWAVE_TEST_REDIS       the server program of Redis or Valkey, or `wheel`; empty is PATH,
                              then the Python package
    SCAIWAVE_TEST_BRIEF       1 leaves out what is marked `once`: kills, full disks, memory
    SCAIWAVE_TEST_DATABASES   the databases to run on, `sqlite,postgresql` unless told otherwise
    SCAIWAVE_REQUIRE_SERVICES 1: a server that can't be had is a failure, not a reason to skip
"""
