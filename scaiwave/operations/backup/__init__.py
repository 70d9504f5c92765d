"""Backups of a whole server: created, verified, restored, activated.

`manifest` is the format of a backup, a directory, and `trust` decides which signatures count.
`tables` measures the tables of a database, so that two can be compared. `databases` opens and
fills databases, `postgresql` runs the programs of PostgreSQL, and `temporary_server` a server.
`load_rows` loads the rows of a backup, and nothing else of it. `create_backup`, `verify_backup`,
`restore_backup` and `activate_restore` are the acts.
"""
