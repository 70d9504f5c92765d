"""Transcripts: a room for people to read, print and hand over, made from its bundle.

In the order of a transcript: `transcribe_room` exports the room into an unnamed file, or opens a
bundle, and writes the files of one format into a directory that is complete or absent. `timeline`
reads the events: first an index of references, on disk, then pages of events with their reactions,
redactions and replies. `wording` has people, times and descriptions as plain text. A format yields
its files: `plain_text`, `spreadsheet`, `rsmf`, and `html`, with `markup` for messages, and with its
style and script in `assets`. `document` is what each format gets.
"""
