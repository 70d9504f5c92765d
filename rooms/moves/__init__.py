"""Tenants that move to another server: out, verified, and in.

`index` is the signed list of all files of an export, `rows` the form of its tables. `export_tenant`
writes one; `verify_export` reads one, and compares it with an imported tenant; `import_tenant`
imports one, its rooms with `import_rooms`, its people as `people` maps them.
"""
