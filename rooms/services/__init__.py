"""What changes rooms: exports, imports, the search index, and sample data.

Each is a package that imports none of the others. What several of them need is beside them:
`stream_positions` and `disk_full`.
"""
