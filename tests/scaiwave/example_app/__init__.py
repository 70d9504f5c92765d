"""An app whose commands replace two of the suite, to test the command line with.

A process with the settings `tests.scaiwave.example_app.settings` goes the whole way from the
console script to a command, independent of what the suite's own commands need.
"""
