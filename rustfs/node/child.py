"""A worker process of a supervised node: `python -m rustfs.node.child RUNTIME_DIRECTORY`, settings on standard input.

It ends when the supervisor goes away, however that happens: standard input is a pipe that nobody else holds.
"""

import logging
import os
import signal
import sys
import threading

from rustfs.core.errors import ConfigurationError
from rustfs.node.listener import bound_socket
from rustfs.node.logs import set_up_logging
from rustfs.node.settings import Settings
from rustfs.node.worker import run_worker

log = logging.getLogger("rustfs.node")

_STANDARD_INPUT = 0


def main() -> None:
    """Serve until told to stop."""
    settings = Settings.from_json(sys.stdin.buffer.readline())
    set_up_logging(settings.log_format)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the supervisor's to pass on
    threading.Thread(target=_stop_with_supervisor, name="supervisor watch", daemon=True).start()
    listener = bound_socket(settings.host, settings.port, shared=True)
    try:
        run_worker(settings, sys.argv[1], listener, lambda: _say("ready\n"))
    except ConfigurationError as error:
        log.error("%s", error)  # noqa: TRY400 -- one sentence for the operator
        sys.exit(2)


def _say(text: str) -> None:
    os.write(1, text.encode())


def _stop_with_supervisor() -> None:
    # Not through sys.stdin: an interpreter that ends while a thread waits inside a buffered reader aborts.
    while os.read(_STANDARD_INPUT, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
