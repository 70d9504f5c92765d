from __future__ import annotations

from scaiwave.cli.arguments import Arguments, argument, option
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, Part
from scaiwave.core.errors import UsageError
from scaiwave.operations.deploy_files import DEPLOY_FILES, read_deploy_file

COLUMNS = (Column("name", "Name", part=Part.KEY), Column("purpose", "Purpose"))


class ShowDeployFileArguments(Arguments):
    name: str | None = argument(
        f"file to print: {', '.join(DEPLOY_FILES)}",
        nargs="?",
        metavar="NAME",
        choices=list(DEPLOY_FILES),
    )
    list: bool = option("list the names of all files")


class Command(OperatorCommand[ShowDeployFileArguments]):
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

    def run(self, given: ShowDeployFileArguments) -> None:
        if given.list == (given.name is not None):
            raise UsageError(
                "Pass the name of one file, or --list.",
                fix="`scaiwave admin show-deploy-file --list` lists the names.",
            )
        if not given.name:
            rows = [{"name": name, "purpose": text} for name, text in DEPLOY_FILES.items()]
            self.output.print_table("deploy_files", COLUMNS, rows)
            return
        content = read_deploy_file(given.name)
        if self.output.as_json:
            self.output.print_json({"deploy_file": {"name": given.name, "content": content}})
        else:
            self.output.stdout.write(content)
