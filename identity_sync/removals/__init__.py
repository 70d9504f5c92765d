"""Pending removals: losses of access that syncs have set aside until someone decides.

* queries.py lists them,
* decide.py approves and keeps them.

Syncs find, confirm and apply them (`identity_sync.sync.record.pending`).
"""
