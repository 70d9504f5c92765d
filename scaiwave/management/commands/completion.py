from __future__ import annotations

import signal

from scaiwave.cli.arguments import Arguments, argument
from scaiwave.cli.command import OperatorCommand
from scaiwave.cli.completion import SHELLS, get_completion_script
from tenants.roles.queries.slugs import list_slugs

SLUGS = ("tenants", "roles")
MAX_SECONDS = 2


class CompletionArguments(Arguments):
    shell: str = argument(None, choices=(*SHELLS, *SLUGS))


class Command(OperatorCommand[CompletionArguments]):
    words = "completion"
    summary = "Print the completion script of a shell"
    area, place = "server", 220
    examples = ("scaiwave completion bash", "scaiwave completion zsh", "scaiwave completion fish")
    help = """\
Print a script that completes commands, options and their values in a shell.
Write it to where the shell looks for it, and repeat this after each upgrade:

  bash  scaiwave completion bash \\
          > ~/.local/share/bash-completion/completions/scaiwave
  zsh   scaiwave completion zsh > ~/.zfunc/_scaiwave
        with `fpath+=~/.zfunc` before compinit in ~/.zshrc
  fish  scaiwave completion fish > ~/.config/fish/completions/scaiwave.fish

Create missing directories first; completion works in shells that you start
then. In bash it needs the package bash-completion, or the line `source FILE`
in ~/.bashrc. `scaiwave completion tenants` and `roles` print the slugs that the
scripts complete."""

    def run(self, given: CompletionArguments) -> None:
        if given.shell in SLUGS:
            if self.started_at is not None:
                signal.alarm(MAX_SECONDS)  # A shell waits for this process.
            slugs = list_slugs(operator=self.operator, kind=given.shell)
            if self.output.as_json:
                self.output.print_json({given.shell: slugs})
            for slug in slugs:
                self.output.print_line(slug)
            return
        script = get_completion_script(given.shell)
        if self.output.as_json:
            self.output.print_json({"completion": {"shell": given.shell, "script": script}})
            return
        self.output.stdout.write(script)
