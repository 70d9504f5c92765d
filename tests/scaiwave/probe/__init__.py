"""An application whose commands replace two of the product, to test the kernel with.

A process that runs with the settings `tests.scaiwave.probe.settings` goes the whole way from the
console script to a command, whatever the commands of the product need.
"""
