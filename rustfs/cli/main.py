"""The `rustfs` command: start a node, look at it, and say the version."""

import sys
from typing import Annotated

import typer

import rustfs
from rustfs.cli import admin
from rustfs.cli.start import start
from rustfs.core.errors import ConfigurationError

app = typer.Typer(
    name="rustfs",
    help="An erasure-coded, S3-compatible object store. Begin with: rustfs start './data/drive{1...4}'",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(start)
app.add_typer(admin.app, name="admin")


@app.command()
def version() -> None:
    """Print the version."""
    print(f"rustfs {rustfs.__version__}")


@app.callback(invoke_without_command=True)
def root(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    """An erasure-coded, S3-compatible object store."""
    if show_version:
        version()
        raise typer.Exit


def main() -> None:
    """Entry point: a wrong setting is one sentence and exit code 2."""
    try:
        app()
    except ConfigurationError as error:
        print(f"rustfs: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
