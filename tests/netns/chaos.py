"""Long runs: random faults on a cluster of four hosts, round after round, every history checked.

`make chaos SEED=7 MINUTES=30`, as root. A round that fails leaves its directory, and its seed is printed: the same seed
draws the same faults again, though not the same timing.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.consistency.history import load
from tests.consistency.linearizability import check
from tests.netns.hosts import NODES, Hosts, hosts
from tests.netns.looking import Looker
from tests.netns.network import between, missing

ROUND_SECONDS = 60.0
CLOCK_SECONDS_MAX = 600


NETWORK_FAULTS = ("minority", "one way", "pair", "apart", "slow")
NODE_FAULTS = ("pause", "kill", "wipe", "power", "clock")


def spoil_network(cluster: Hosts, what: str, one: int, other: int, dice: random.Random) -> None:
    """Begin a fault of the network."""
    rest = [each for each in range(NODES) if each != one]
    if what == "minority":
        cluster.net.rule(cut=between([one], rest))
    elif what == "one way":
        cluster.net.rule(cut=[(one, each) for each in rest])
    elif what == "pair":
        cluster.net.rule(cut=[(one, other)])
    elif what == "apart":
        cluster.net.rule(cut=between([one, other], [each for each in rest if each != other]))
    else:
        cluster.net.rule(delay_ms=dice.choice((2, 20, 60)), loss=dice.choice((0.0, 0.01, 0.05)))


def misbehave(cluster: Hosts, dice: random.Random) -> str:
    """One fault and its end; what it was."""
    one, other = dice.sample(range(NODES), 2)
    lasts = dice.uniform(0.5, 6.0)
    what = dice.choice((*NETWORK_FAULTS, *NODE_FAULTS))
    if what in NETWORK_FAULTS:
        spoil_network(cluster, what, one, other, dice)
    elif what == "pause":
        cluster.pause(one)
    elif what == "clock":
        cluster.step_clock(one, dice.randint(-CLOCK_SECONDS_MAX, CLOCK_SECONDS_MAX))
    elif what == "power":
        for number in range(NODES):
            cluster.kill(number)
    else:
        cluster.kill(one)
        if what == "wipe":
            cluster.wipe(one)
    time.sleep(lasts)
    cluster.net.rule()
    if what == "pause":
        cluster.resume(one)
    for number in range(NODES):
        if number not in cluster.processes:
            cluster.start(number)
    cluster.wait_ready()
    if what == "wipe":
        cluster.wait_whole()  # a second wiped drive before that would be more than is promised
    return f"{what} {lasts:.1f} s"


def run(seed: int, directory: Path, seconds: float) -> bool:
    """One round; whether its history is linearizable."""
    dice = random.Random(seed)
    history = directory / "history"
    faults = []
    with hosts(directory, seed=seed, clocks=True) as cluster:
        deadline = time.monotonic() + seconds
        with cluster.clients(history, seed, seconds_max=10 * seconds):
            while time.monotonic() < deadline:
                faults.append(misbehave(cluster, dice))
                time.sleep(dice.uniform(0.0, 3.0))
        cluster.wait_whole()
        looker = Looker(cluster)
        looker.last_look()
    operations = load(looker.lines(history))
    violations = check(operations)
    print(f"seed {seed}: {len(operations)} calls; {', '.join(faults)}: {'NOT ' if violations else ''}linearizable")
    for violation in violations:
        print(violation)
    return not violations


def main() -> int:
    """Rounds with one seed after the other until the time is up; 1 at the first that fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=10.0)
    options = parser.parse_args()
    if why := missing():
        print(f"chaos: {why}", file=sys.stderr)
        return 2
    deadline = time.monotonic() + options.minutes * 60
    seed = options.seed
    while time.monotonic() < deadline:
        directory = Path(tempfile.mkdtemp(prefix="rustfs-chaos-"))
        try:
            good = run(seed, directory, min(ROUND_SECONDS, deadline - time.monotonic()))
        except BaseException:
            print(f"seed {seed} failed; see {directory}", file=sys.stderr)
            raise
        if not good:
            print(f"seed {seed}; the history and all drives are in {directory}")
            return 1
        shutil.rmtree(directory)
        seed += 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
