"""The `patchbay` command line: one group; the commands are in `patchbay.commands`.

Command modules import only what is quick at their top and the rest inside the commands, so that
`patchbay --help` starts at once.
"""

from importlib import metadata

import click

from patchbay.commands import (
    audit,
    dead_letters,
    demo,
    evaluate,
    hosts,
    mcp,
    query_language,
    report,
    services,
    vercmp,
)


def _show_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        click.echo(f"patchbay {metadata.version('patchbay')}")
        ctx.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
def commands() -> None:
    """Patchbay: which updates are outstanding on every Linux host, which are security fixes, and why."""


for _module in (services, dead_letters, evaluate, vercmp, report, audit, demo, mcp, query_language, hosts):
    for _command in _module.COMMANDS:
        commands.add_command(_command)


def main() -> None:
    """The entry point `patchbay`."""
    services.guarded(commands)
