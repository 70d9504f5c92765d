"""Convert exports of other chat systems into bundles, without a database or network.

`convert_rooms` is the act. It opens the export with `source_files` and hands it to the reader of
its system: `slack`, `mattermost` or `discord`, which share `reader`. It yields people, rooms and
events in the form of `model`, from rows that `json_rows` decodes, with texts that `markdown` and
its own parser make. `event_encoder` turns each into lines of a manifest, `spool` sorts them by
time, and `room_writer` writes a bundle for each room. `accounts` counts every row from the source
to the bundle.

`people` and `match_people` find out who the people are here.

A new system needs one module, with a class for `SYSTEMS` in `convert_rooms`.
"""
