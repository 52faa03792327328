"""The progress file: whoever reads it sees a whole one, whatever happens to it."""

import threading

import pytest

from rustfs.services.progress import HealProgress, publish, published

PROGRESS = HealProgress(1, "healing", ("/data1", "/data2"), 1000, 0, 5, 10, 3, 1)


def test_what_is_published_can_be_read(tmp_path):
    path = str(tmp_path / "heal.json")
    publish(path, [HealProgress(0), PROGRESS])
    idle, healing = published(path)
    assert (idle["set"], idle["state"], idle["drives"]) == (0, "idle", [])
    assert healing == {
        "set": 1,
        "state": "healing",
        "drives": ["/data1", "/data2"],
        "started_ms": 1000,
        "finished_ms": 0,
        "keys_checked": 5,
        "keys_total": 10,
        "keys_healed": 3,
        "keys_failed": 1,
        "bytes_healed": 0,
        "updated_ms": 0,
        "repair_queue": 0,
    }
    publish(path, [HealProgress(0)])
    assert len(published(path)) == 1
    assert [each.name for each in tmp_path.iterdir()] == ["heal.json"]


@pytest.mark.parametrize("content", [None, b"", b"[{", b"\xff"])
def test_there_is_no_progress_where_there_is_no_file(tmp_path, content):
    path = tmp_path / "heal.json"
    if content is not None:
        path.write_bytes(content)
    assert published(str(path)) == []


def test_readers_see_the_old_file_or_the_new_one(tmp_path):
    path = str(tmp_path / "heal.json")
    publish(path, [HealProgress(0)])
    stop = threading.Event()

    def write():
        count = 0
        while not stop.is_set():
            count = count % 50 + 1
            publish(path, [HealProgress(number, "x" * 100) for number in range(count)])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert all(published(path) for _ in range(300))
    finally:
        stop.set()
        writer.join()
