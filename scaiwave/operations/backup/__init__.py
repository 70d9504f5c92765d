"""Backups of a whole server: created, verified, restored, activated.

`manifest` is the format of a backup, a directory. `tables` measures the tables of a database, so
that two can be compared. `databases` opens databases and copies SQLite, and `postgresql` runs the
programs of PostgreSQL. `create_backup`, `verify_backup`, `restore_backup` and `activate_restore`
are the acts.
"""
