"""Deletion by age: policies, the events and files that they reach, and runs.

`policies` sets them. `event_deletion` deletes or redacts events of a room, and `files` its
attachments, for retention and for erasures of people's messages. `run_retention` does both for
each room whose policy reaches something.
"""
