"""Read by every Python that has this directory on its path: its wall clock is off by the seconds in $STEPPED_CLOCK.

For nodes under test alone. The file is looked at again a few times a second, so the clock can step while they run.

Only time_ns() is off, by which rustfs.core.system.SystemClock goes. time() stays true: gRPC adds its timeouts to that
and hands the sum to its core, which sees the machine's clock. With a clock that is off for one of them alone every call
of a node whose clock was set back would be over before it began, which happens on no machine.
"""

import os
import time

_path = os.environ["STEPPED_CLOCK"]
_time_ns, _monotonic = time.time_ns, time.monotonic
_LOOK_SECONDS = 0.2
_state = [0, 0.0]  # offset in nanoseconds, when to look again


def _offset_ns() -> int:
    now = _monotonic()
    if now >= _state[1]:
        _state[1] = now + _LOOK_SECONDS
        with open(_path, encoding="ascii") as file:
            _state[0] = int(file.read()) * 1_000_000_000
    return int(_state[0])


time.time_ns = lambda: _time_ns() + _offset_ns()
