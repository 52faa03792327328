"""Files written past the page cache hold what was written, wherever the pieces begin and end."""

import errno
import fcntl
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from rustfs.core.errors import DriveFull, DriveOffline
from rustfs.drive import direct
from rustfs.drive.direct import CHUNK_BYTES, DirectWriter, direct_writer
from rustfs.drive.shards import ShardFile

SIZES = [0, 1, 4096, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES + 4096, 3 * CHUNK_BYTES + 17]


def pieces_of(data: bytes, size: int) -> list[memoryview]:
    return [memoryview(data)[start : start + size] for start in range(0, len(data), size)]


def is_direct(descriptor: int) -> bool:
    return bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT)


@pytest.fixture
def executor():
    with ThreadPoolExecutor(2) as threads:
        yield threads


@pytest.fixture
def descriptor(tmp_path):
    opened = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR)
    yield opened
    os.close(opened)


def offline(error: OSError) -> DriveOffline:
    return DriveOffline(str(error))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("piece", [528, (512 << 10) + 16, CHUNK_BYTES, 5 * CHUNK_BYTES])
@pytest.mark.parametrize("expected", [CHUNK_BYTES, 2 * CHUNK_BYTES, 9 * CHUNK_BYTES])
def test_a_shard_file_holds_what_was_written(tmp_path, executor, size, piece, expected):
    data = os.urandom(size)
    path = tmp_path / "shard"
    file = ShardFile(str(path), expected, offline, executor)
    for each in pieces_of(data, piece):
        file.write([each[:16], each[16:]])
    file.finish()
    assert path.read_bytes() == data


def test_whole_chunks_pass_the_cache_by_and_the_end_does_not(descriptor, executor, monkeypatch):
    written = []
    real = os.write

    def write(target, view):
        written.append((len(view), is_direct(target)))
        return real(target, view)

    writer = direct_writer(descriptor, executor)
    if writer is None:
        pytest.skip("the file system knows no direct writes")
    monkeypatch.setattr(os, "write", write)
    writer.write([bytes(CHUNK_BYTES // 2)] * 5)
    writer.flush()
    assert written == [(CHUNK_BYTES, True)] * 2 + [(CHUNK_BYTES // 2, False)]
    writer.flush()
    assert len(written) == 3


def test_a_file_system_that_knows_no_direct_writes_is_written_to_all_the_same(tmp_path, executor, monkeypatch):
    monkeypatch.setattr(direct, "_DIRECT", 0)
    data = os.urandom(2 * CHUNK_BYTES + 5)
    file = ShardFile(str(tmp_path / "shard"), len(data), offline, executor)
    file.write([data])
    file.finish()
    assert (tmp_path / "shard").read_bytes() == data


def test_a_file_system_that_changes_its_mind_is_written_to_all_the_same(descriptor, executor, monkeypatch):
    data = os.urandom(2 * CHUNK_BYTES)
    real = os.write
    refused = []

    def write(target, view):
        if is_direct(target):
            if len(view) < CHUNK_BYTES:
                refused.append(len(view))
                raise OSError(errno.EINVAL, "not a whole block")
            view = view[: CHUNK_BYTES // 2 + 100]  # the disk stopped within a block
            fcntl.fcntl(target, fcntl.F_SETFL, 0)
            try:
                return real(target, view)
            finally:
                fcntl.fcntl(target, fcntl.F_SETFL, os.O_DIRECT)
        return real(target, view)

    writer = direct_writer(descriptor, executor) or DirectWriter(descriptor, executor)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_DIRECT)
    monkeypatch.setattr(os, "write", write)
    writer.write([data])
    writer.flush()
    assert refused
    assert os.pread(descriptor, len(data) + 1, 0) == data


@pytest.mark.parametrize(("number", "error"), [(errno.ENOSPC, DriveFull), (errno.EIO, DriveOffline)])
def test_errors_are_the_drives(tmp_path, executor, monkeypatch, number, error):
    file = ShardFile(str(tmp_path / "shard"), CHUNK_BYTES, offline, executor)

    def failing(_descriptor, _view):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "write", failing)
    file.write([bytes(CHUNK_BYTES)])  # goes on in another thread
    with pytest.raises(error):
        file.write([bytes(CHUNK_BYTES)])
    with pytest.raises(error):
        file.write([bytes(2 * CHUNK_BYTES)])
    with pytest.raises(error):
        file.finish()
    file.discard()
    assert not (tmp_path / "shard").exists()


def test_threads_that_all_wait_for_one_another_write_themselves(tmp_path):
    """Writers run in the same threads that write behind them."""
    data = os.urandom(6 * CHUNK_BYTES + 1)
    with ThreadPoolExecutor(3) as threads:
        meeting = threading.Barrier(3)

        def work(number: int) -> bytes:
            path = tmp_path / str(number)
            file = ShardFile(str(path), len(data), offline, threads)
            meeting.wait(10)
            for piece in pieces_of(data, 300_000):
                file.write([piece])
            file.finish()
            return path.read_bytes()

        assert [each == data for each in threads.map(work, range(3), timeout=30)] == [True] * 3


def test_the_next_chunk_is_gathered_while_one_is_written_and_no_more(descriptor, executor, monkeypatch):
    may_write = threading.Event()
    real = os.write

    def write(target, view):
        may_write.wait(10)
        return real(target, view)

    monkeypatch.setattr(os, "write", write)
    writer = DirectWriter(descriptor, executor)
    writer.write([bytes(CHUNK_BYTES), bytes(CHUNK_BYTES - 1)])
    waiting = executor.submit(writer.write, [b"x"])
    time.sleep(0.2)
    assert not waiting.done()
    may_write.set()
    waiting.result(10)
    writer.flush()
    assert os.fstat(descriptor).st_size == 2 * CHUNK_BYTES


def test_a_file_is_not_closed_while_a_chunk_is_written(tmp_path, executor, monkeypatch):
    writing, may_write = threading.Event(), threading.Event()
    ended = []

    def write(target, view):
        writing.set()
        may_write.wait(10)
        ended.append(os.fstat(target).st_size)  # fails where it is closed
        return len(view)

    monkeypatch.setattr(os, "write", write)
    file = ShardFile(str(tmp_path / "shard"), CHUNK_BYTES, offline, executor)
    file.write([bytes(CHUNK_BYTES)])
    assert writing.wait(10)
    discarding = executor.submit(file.discard)
    time.sleep(0.2)
    assert not discarding.done()
    may_write.set()
    discarding.result(10)
    assert ended == [CHUNK_BYTES]
    assert not (tmp_path / "shard").exists()
