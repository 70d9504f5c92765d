"""What `room import` takes."""

from __future__ import annotations

from argparse import ArgumentParser


def add_arguments(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("workspace", help="where the room goes: id or slug of a workspace")
    add("--tenant", required=True, help="tenant of the workspace: slug or id")
    add(
        "--as",
        dest="participant",
        metavar="PARTICIPANT",
        required=True,
        help="whose room it will be, an owner or editor of the workspace: id, e-mail or @name",
    )
    add("--input", metavar="FILE", help="read this file where it lies, instead of stdin")
    add(
        "--once",
        action="store_true",
        help="if this bundle has made a room of the workspace already, say which and stop",
    )
    add(
        "--cut-references",
        action="store_true",
        help="leave out references to events that are not in the bundle",
    )
    add("--key", help="the signer's public key, besides this server's own keys: ed25519:…")
    add(
        "--require-signature",
        action="store_true",
        help="refuse a bundle without a valid signature by a known key",
    )
