"""The documentation on its way to ScaiCMS: read, checked, compared with what is live, written.

It needs neither an app nor the database.
"""
