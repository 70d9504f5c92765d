"""Temporary servers for tests: PostgreSQL, Redis, two for S3, and one of OpenID Connect issuers.

`scripts/test` starts them for its two runs of pytest; pytest on its own starts one when the first
test asks for it. Each server belongs to a small manager process, which stops it and removes its
directory as soon as the process that asked for it has ended, in whatever way.

Settings, read from the environment:

    SCAIWAVE_TEST_POSTGRES    the directory of PostgreSQL's programs, or `wheel` for those of the
                              Python package (default: PATH, then the usual directories, then wheel)
    SCAIWAVE_TEST_REDIS       the server program of Redis or Valkey, or `wheel` (default: PATH, then
                              the Python package)
    SCAIWAVE_TEST_NIGHTLY     1 adds what takes too long for each merge; see docs/CONTRIBUTING.md
    SCAIWAVE_TEST_SHARD       which share of the cases to run, such as 1/2
    SCAIWAVE_TEST_PAIRS       which tests with a database run on which: `all` on both; `half` each
                              on one of the two; `half-and-ci` the same, with those marked `ci`;
                              `swapped-and-ci` these, each on the other database;
                              `other-half` the fast ones, those of the command line and those marked
                              `every_version`, each on the other database.
                              Default: `half`, or `all` for selected tests or one database
    SCAIWAVE_TEST_FAST        1 leaves out what `scripts/test --fast` leaves out
    SCAIWAVE_TEST_FEW         1 runs four tests of each file, others each time
    SCAIWAVE_TEST_SCREENSHOTS 1 saves pictures of the admin site; see docs/CONTRIBUTING.md
    SCAIWAVE_TEST_TIMES       1 prints the processor seconds of the files that take most of them
    SCAIWAVE_TEST_DATABASES   the databases to test (default `sqlite,postgresql`)
    SCAIWAVE_TEST_CLOCK       the moment at which the clock of all tests and servers begins, with a
                              time zone or in UTC: `2027-03-28T01:59:30/Europe/Berlin`. Needs
                              libfaketime
    SCAIWAVE_REQUIRE_SERVICES 1 makes a server that can't be started a failure, not a skip
"""
