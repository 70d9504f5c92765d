"""An application whose commands stand in the place of two verbs, to try the kernel with.

A process that runs with the settings `tests.scaiwave.probe.settings` goes the whole way from the
console script to a command, whatever the verbs of the product need.
"""
