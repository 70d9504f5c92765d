"""The arguments of the commands about administrators."""

from __future__ import annotations

from scaiwave.cli.arguments import Arguments, argument, option


class AdministratorArguments(Arguments):
    username: str = argument("name of the administrator")


class RemovalArguments(AdministratorArguments):
    allow_last: bool = option("allow removing the last administrator who can sign in")
