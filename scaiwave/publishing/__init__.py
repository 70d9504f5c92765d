"""Publishing the documentation to ScaiCMS. Needs no app and no database.

`pages` reads, checks and rewrites the files; `publish` compares them with the live pages, writes
what differs, and keeps the list of published pages.
"""
