"""Export rooms as bundles.

In the order of an export: `sinks` starts it and takes its bytes, to a stream or into a file;
`export_room` checks the permission, audits the export, and builds the bundle while it is read.
`export_rooms` exports all rooms of a tenant, each into a file, and `existing` finds out which files
are up to date already. `increments` exports the changes since other bundles; `chain_cache`
saves reading these again. `merge_bundles` joins bundles and compares them, without a database.
"""
