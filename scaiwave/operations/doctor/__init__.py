"""The checks of `scaiwave doctor`.

A check is a function of (configuration, now) that yields findings; `runner` lists them all.
"""
