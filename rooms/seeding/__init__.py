"""Rooms with sample data, for tests, benchmarks and demonstrations.

`seed_rooms` is the act: it creates `participants`, then per room its files (`media`) and its events
(`events`). `text` holds the words, names and file names.
"""
