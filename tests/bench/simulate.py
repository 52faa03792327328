"""Two questions of docs/scaling.md that arithmetic does not answer: `python -m tests.bench.simulate`.

How many rows must each set be asked for, so that a page of 1,000 keys seldom needs a second round? And how long do
nodes that all start at once outbid each other before the first format is agreed upon?
"""

import heapq
import random

PAGE_KEYS = 1000
PAGES = 200
CALL_SECONDS = 0.0002  # CPU of the proposer per call of its own, as measured
PAUSE_SECONDS = (0.05, 0.5)  # rustfs.node.bootstrap
START_SPREAD_SECONDS = 2.0
SIMULATED_SECONDS_MAX = 120.0


def second_rounds(sets: int, slack: float, draw: random.Random) -> tuple[int, float]:
    """(rows asked of each set, share of pages that need more of some set); slack in standard deviations."""
    mean = PAGE_KEYS / sets
    rows = max(32, int(mean + slack * mean**0.5) + 1)
    late = 0
    for _ in range(PAGES):
        counts = [0] * sets
        for _ in range(PAGE_KEYS):
            counts[draw.randrange(sets)] += 1
        late += max(counts) >= rows
    return rows, late / PAGES


def agreement_seconds(nodes: int, pause_max: float, draw: random.Random) -> float:
    """Until a ballot was accepted by a majority; every node proposes. Infinity where it takes too long.

    A round is two broadcasts; the later ballot wins every acceptor that it reaches before the earlier one's offer does.
    """
    broadcast = nodes * CALL_SECONDS
    begins = [(draw.uniform(0, START_SPREAD_SECONDS), node, PAUSE_SECONDS[0]) for node in range(nodes)]
    majority_up = sorted(begins)[nodes // 2][0]
    heapq.heapify(begins)
    while begins:
        now, node, pause = heapq.heappop(begins)
        if now > SIMULATED_SECONDS_MAX:
            break
        # Outbid when another prepares before this one's offer has reached a majority (half of its second broadcast).
        offered = now + 1.5 * broadcast
        if now > majority_up and (not begins or begins[0][0] > offered):
            return now + 2 * broadcast
        again = now + 2 * broadcast + draw.uniform(pause / 2, pause)
        heapq.heappush(begins, (again, node, min(pause_max, pause * 2)))
    return float("inf")


def main() -> None:
    """Print both tables."""
    draw = random.Random(1)
    print("| sets | rows of each set | rows of all | pages with a second round |\n|--:|--:|--:|--:|")
    for sets in (1, 4, 16, 120, 1200):
        rows, late = second_rounds(sets, 4.0, draw)
        print(f"| {sets} | {rows:,} | {rows * sets:,} | {late:.1%} |")
    print("\n| nodes | agreed after, pauses to 0.5 s | pauses to 20 ms x nodes |\n|--:|--:|--:|")
    for nodes in (4, 16, 50, 100, 1000):
        cells = []
        for pause_max in (PAUSE_SECONDS[1], max(PAUSE_SECONDS[1], 0.02 * nodes)):
            times = sorted(agreement_seconds(nodes, pause_max, draw) for _ in range(9))
            cells.append(f"{times[4]:.1f} s (worst of 9: {times[8]:.1f} s)")
        print(f"| {nodes:,} | {cells[0]} | {cells[1]} |")


if __name__ == "__main__":
    main()
