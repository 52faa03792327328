"""`rustfs start`."""

import os
from typing import Annotated

import typer

from rustfs.node.logs import set_up_logging
from rustfs.node.settings import DEFAULT_ADDRESS, DEFAULT_REGION, read_settings


def start(
    volumes: Annotated[
        list[str] | None,
        typer.Argument(
            envvar="RUSTFS_VOLUMES",
            metavar="VOLUMES",
            help="The drives' directories, one per disk; '/data{1...4}' stands for /data1 to /data4. On several nodes "
            "their URLs, the same on each: 'http://node{1...4}:9000/data{1...4}'. Up to 16 make one erasure set; each "
            "argument with a range is a pool of its own.",
        ),
    ] = None,
    address: Annotated[
        str,
        typer.Option(
            envvar="RUSTFS_ADDRESS",
            metavar="HOST:PORT",
            help="Where to serve. Addresses that other machines can reach need keys of your own.",
        ),
    ] = DEFAULT_ADDRESS,
    peer_port: Annotated[
        int,
        typer.Option(
            envvar="RUSTFS_PEER_PORT",
            metavar="PORT",
            help="Where nodes listen for one another; the same on every node.",
            show_default="the S3 port + 1000",
        ),
    ] = 0,
    workers: Annotated[
        int,
        typer.Option(envvar="RUSTFS_WORKERS", metavar="N", help="Worker processes.", show_default="one per core"),
    ] = 0,
    region: Annotated[
        str, typer.Option(envvar="RUSTFS_REGION", metavar="NAME", help="The region that clients sign for.")
    ] = DEFAULT_REGION,
    domain: Annotated[
        str,
        typer.Option(
            envvar="RUSTFS_DOMAIN",
            metavar="NAME",
            help="Serve buckets as host names below this domain, too; several are separated by commas.",
        ),
    ] = "",
    access_key: Annotated[
        str,
        typer.Option(
            envvar="RUSTFS_ACCESS_KEY",
            metavar="KEY",
            help="The root user's access key; RUSTFS_ACCESS_KEY_FILE names a file with it.",
            show_default="rustfsadmin",
        ),
    ] = "",
    secret_key: Annotated[
        str,
        typer.Option(
            envvar="RUSTFS_SECRET_KEY",
            metavar="KEY",
            help="The root user's secret key; RUSTFS_SECRET_KEY_FILE names a file with it. The option shows in the "
            "process list: prefer the variable or the file.",
            show_default="rustfsadmin",
        ),
    ] = "",
    log_format: Annotated[
        str, typer.Option(envvar="RUSTFS_LOG_FORMAT", metavar="text|json", help="Log lines for people or programs.")
    ] = "text",
    tls_dir: Annotated[
        str,
        typer.Option(
            envvar="RUSTFS_TLS_DIR",
            metavar="DIR",
            help="Serve HTTPS with public.crt and private.key of this directory, read again when they change.",
        ),
    ] = "",
) -> None:
    """Serve S3 from these drives until SIGTERM.

    With URLs for volumes this is one of several equal nodes: the one whose URL's host and port are those of --address.

    An empty directory becomes a drive; directories in use must be named in the order in which they were formatted.

    Further settings are variables only: RUSTFS_COMPRESSION (auto or off), RUSTFS_STORAGE_CLASS_STANDARD and
    RUSTFS_STORAGE_CLASS_RRS (EC:2 for two parity shards), RUSTFS_UPLOAD_EXPIRY_DAYS (7), RUSTFS_DRAIN_SECONDS (30),
    RUSTFS_RESOLVE_SECONDS (60; how long to wait for a name that is this node's).
    """
    set_up_logging(log_format)
    settings = read_settings(
        os.environ,
        volumes=volumes or [],
        address=address,
        workers=workers,
        region=region,
        domain=domain,
        access_key=access_key,
        secret_key=secret_key,
        log_format=log_format,
        peer_port=peer_port,
        tls_dir=tls_dir,
    )
    from rustfs.node.supervisor import start_node  # noqa: PLC0415 -- the other commands do without it

    start_node(settings)
