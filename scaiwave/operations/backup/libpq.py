"""Pass Django's settings of a connection to a program of PostgreSQL, without secrets in arguments.

Every user of the host can see arguments. libpq reads the password from a variable. It has none for
the other secrets, such as the password of a client's key: they are in a service file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

OTHER_SECRETS = {"sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"}


@contextmanager
def pass_connection(name: str, settings: str) -> Iterator[tuple[str, dict[str, str], int]]:
    """Yield a connection string, variables, and the descriptor of the service file.

    The session gets a name, and more settings in the form of `options`. The program must inherit
    the descriptor. The file has no name, so that none is left after a kill.
    """
    from psycopg.conninfo import make_conninfo
    from psycopg.pq import Conninfo

    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    given = {
        name: value
        for name, value in connection.get_connection_params().items()
        if name in known and value not in (None, "")
    }
    given |= {"application_name": name, "options": f"{given.get('options', '')} {settings}"}
    password = given.pop("password", "")
    variables = {"PGPASSWORD": password} if password else {}
    with tempfile.TemporaryFile("w", encoding="utf-8") as file:
        if names := sorted(OTHER_SECRETS & given.keys()):
            file.writelines(["[scaiwave]\n", *(f"{name}={given.pop(name)}\n" for name in names)])
            file.flush()
            path = f"/dev/fd/{file.fileno()}"
            variables |= {"PGSERVICE": "scaiwave", "PGSERVICEFILE": path}
        yield make_conninfo(**given), variables, file.fileno()
