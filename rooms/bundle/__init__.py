"""The room bundle as a file (docs: bundle format); uses no database.

`format` holds the names and limits, `manifest.schema` the structures that are written and read.

Writing: `writer` streams an archive (`archive.writer`) with manifest, attachments and `signature`.

Reading: `reader` validates a bundle and then returns its events. It opens the archive
(`archive.reader`, which parses `archive.records`); `validator` goes through its entries: the
manifest with `manifest.reader` (`json_stream` and `strict_json` for the JSON, `manifest.events` and
`manifest.event_validation` for the events, `manifest.references` for their references), the
attachments, then `signature`.

Chains: `chain` reads a whole bundle and its increments, which have version 2, and compares rooms;
`chain_files` finds them in a directory.
"""
