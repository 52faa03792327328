"""The real registers in a simulated world: no history breaks the promise, and with a rule left out some does."""

import pytest

from rustfs.core.drivetypes import QUORUM_SHIFT, TOMBSTONE
from rustfs.drive import rules
from rustfs.objects import rounds, settling
from rustfs.objects.decide import copies_needed_of, decide
from rustfs.objects.lineage import Fate, fate
from rustfs.objects.register import Register
from tests.consistency.linearizability import check
from tests.consistency.simulation.world import SimDrive, World

pytestmark = pytest.mark.timeout(300)

SHAPES = ((4, 2), (3, 2), (5, 3))
SEEDS = 80
SEEDS_TO_CATCH = 3000


@pytest.mark.parametrize(("drive_count", "data_shards"), SHAPES)
def test_every_history_is_linearizable(drive_count, data_shards):
    good = 0
    for seed in range(SEEDS):
        history = World(drive_count, data_shards, seed).run()
        violations = check(history)
        assert not violations, f"seed {seed}: {violations[0]}"
        good += sum(operation.outcome == "ok" for operation in history)
    assert good > 10 * SEEDS


def caught(**planted):
    """Whether some history of the fixed seeds breaks."""
    return any(
        check(World(drive_count, data_shards, seed, **planted).run())
        for seed in range(SEEDS_TO_CATCH // len(SHAPES))
        for drive_count, data_shards in SHAPES
    )


def test_an_older_stamp_over_a_newer_one_is_caught(monkeypatch):
    honest = rules.judge_accept
    monkeypatch.setattr(rules, "judge_accept", lambda state, *offer: honest(state._replace(newest=b""), *offer))
    assert caught()


def test_promises_forgotten_at_a_restart_are_caught():
    class Forgetful(SimDrive):
        def restart(self):
            self.promise = b""

    assert caught(make_drive=Forgetful)


def test_a_half_accepted_write_proposed_anew_is_caught():
    class Hasty(Register):
        def __init__(self, *how):
            super().__init__(*how)
            self._settler.resume = self.resume

        async def resume(self, unsettled, epoch):
            where = unsettled.drive_set, unsettled.bucket, unsettled.key
            return await self.write(*where, unsettled.proposal, epoch, unsettled.stamps[-1])

    assert caught(make_register=Hasty)


def test_trust_in_k_copies_is_caught(monkeypatch):
    def trusting(drive_count, answers, *rest):
        trusted = {
            position: tuple(
                held._replace(flags=held.flags & ~(0xFF << QUORUM_SHIFT) | copies_needed_of(held.flags) << QUORUM_SHIFT)
                for held in versions
            )
            for position, versions in answers.items()
        }
        return decide(drive_count, trusted, *rest)

    monkeypatch.setattr(rounds, "decide", trusting)
    assert caught()


def test_a_tombstone_dropped_too_early_is_caught():
    class Careless(SimDrive):
        def note_chosen(self, bucket, key, stamp, superseded):
            super().note_chosen(bucket, key, stamp, superseded)
            if self.versions.get(stamp, (0, b""))[0] & TOMBSTONE:
                del self.versions[stamp]  # without a look at the other drives

    assert caught(make_drive=Careless)


def test_nothing_to_delete_by_the_word_of_a_quorum_alone_is_caught(monkeypatch):
    """The deletion may be on a drive that has not answered, and be completed after somebody wrote the key anew."""
    monkeypatch.setattr(rounds.Tally, "absent", lambda tally, read_quorum: tally.declined >= read_quorum)
    assert caught()


def test_a_write_taken_for_dead_because_something_newer_is_chosen_is_caught(monkeypatch):
    def hasty(own, stamp, ancestors):
        found = fate(own, stamp, ancestors)
        return Fate.DEAD if found is Fate.UNKNOWN and stamp > max(own) else found

    monkeypatch.setattr(settling, "fate", hasty)
    assert caught()
