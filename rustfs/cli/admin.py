"""`rustfs admin`: what running nodes say about themselves, and what they can be told; one module per group."""

import typer

from rustfs.cli import config, heal, locks
from rustfs.cli.drives import drives
from rustfs.cli.health import health
from rustfs.cli.info import info
from rustfs.cli.layout import layout
from rustfs.cli.trace import trace

app = typer.Typer(
    help="Look after running nodes, through any of them. Its keys are read from RUSTFS_ACCESS_KEY and "
    "RUSTFS_SECRET_KEY, or their _FILE. Exit code 2: the node cannot be asked.",
    no_args_is_help=True,
)
app.command()(info)
app.command()(drives)
app.command()(health)
app.add_typer(config.app, name="config")
app.add_typer(heal.app, name="heal")
app.add_typer(locks.app, name="locks")
app.command()(trace)
app.command()(layout)
