"""Import a bundle as a new room, completely or not at all.

In the order of an import: `permissions` finds the target and checks who may import there; `source`
makes the bundle readable twice; `import_room` validates it and leads through the rest; `intents`
announces the files that are about to be stored, and cleans up after interrupted imports; `media`
stores them; `id_mapping` gives events new IDs; `events` writes the events.

`append_increment` finds the room of an increment, and `apply_increment` writes the changes.
"""
