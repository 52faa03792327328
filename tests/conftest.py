"""What every test shares: clients and the server are looked up in this interpreter's environment first."""

import os
import sys

# `pytest` may be called by path, without an activated environment: its neighbours are the clients under test.
_BIN = os.path.dirname(sys.executable)
if _BIN not in os.environ.get("PATH", "").split(os.pathsep):
    os.environ["PATH"] = os.pathsep.join((_BIN, os.environ.get("PATH", os.defpath)))
