from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, Part
from scaiwave.core.errors import UsageError
from scaiwave.operations.deploy_files import DEPLOY_FILES, read_deploy_file

COLUMNS = (Column("name", "Name", part=Part.KEY), Column("purpose", "Purpose"))


class Command(OperatorCommand):
    words = "admin show-deploy-file"
    summary = "Print a systemd unit or a proxy configuration"
    area, place = "server", 130
    examples = (
        "scaiwave admin show-deploy-file --list",
        "scaiwave admin show-deploy-file nginx.conf > /etc/nginx/conf.d/scaiwave.conf",
    )
    help = """\
Print a file for the deployment of a server, such as a systemd unit. Write it
to where its program reads it, and adapt it there:

  scaiwave admin show-deploy-file scaiwave-web.service \\
    > /etc/systemd/system/scaiwave-web.service"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "name",
            nargs="?",
            metavar="NAME",
            choices=list(DEPLOY_FILES),
            help=f"file to print: {', '.join(DEPLOY_FILES)}",
        )
        parser.add_argument("--list", action="store_true", help="list the names of all files")

    def handle(self, name: str | None, **options: Any) -> None:
        if options["list"] == (name is not None):
            raise UsageError(
                "Pass the name of one file, or --list.",
                fix="`scaiwave admin show-deploy-file --list` lists the names.",
            )
        if not name:
            rows = [{"name": name, "purpose": text} for name, text in DEPLOY_FILES.items()]
            self.output.print_table("deploy_files", COLUMNS, rows)
            return
        content = read_deploy_file(name)
        if self.output.as_json:
            self.output.print_json({"deploy_file": {"name": name, "content": content}})
        else:
            self.output.stdout.write(content)
