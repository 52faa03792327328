"""Files written past the page cache hold what was written, wherever the pieces begin and end."""

import errno
import fcntl
import os

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
def descriptor(tmp_path):
    opened = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR)
    yield opened
    os.close(opened)


def offline(error: OSError) -> DriveOffline:
    return DriveOffline(str(error))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("piece", [528, (512 << 10) + 16, CHUNK_BYTES, 5 * CHUNK_BYTES])
@pytest.mark.parametrize("expected", [CHUNK_BYTES, 2 * CHUNK_BYTES, 9 * CHUNK_BYTES])
def test_a_shard_file_holds_what_was_written(tmp_path, size, piece, expected):
    data = os.urandom(size)
    path = tmp_path / "shard"
    file = ShardFile(str(path), expected, offline)
    for each in pieces_of(data, piece):
        file.write([each[:16], each[16:]])
    file.finish()
    assert path.read_bytes() == data


def test_whole_chunks_pass_the_cache_by_and_the_end_does_not(descriptor, monkeypatch):
    written = []
    real = os.write

    def write(target, view):
        written.append((len(view), is_direct(target)))
        return real(target, view)

    writer = direct_writer(descriptor)
    if writer is None:
        pytest.skip("the file system knows no direct writes")
    monkeypatch.setattr(os, "write", write)
    writer.write([bytes(CHUNK_BYTES // 2)] * 5)
    assert written == [(CHUNK_BYTES, True)] * 2
    writer.flush()
    assert written[2:] == [(CHUNK_BYTES // 2, False)]
    writer.flush()
    assert len(written) == 3


def test_a_file_system_that_knows_no_direct_writes_is_written_to_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(direct, "_DIRECT", 0)
    data = os.urandom(2 * CHUNK_BYTES + 5)
    file = ShardFile(str(tmp_path / "shard"), len(data), offline)
    file.write([data])
    file.finish()
    assert (tmp_path / "shard").read_bytes() == data


def test_a_file_system_that_changes_its_mind_is_written_to_all_the_same(descriptor, monkeypatch):
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

    writer = direct_writer(descriptor) or DirectWriter(descriptor)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_DIRECT)
    monkeypatch.setattr(os, "write", write)
    writer.write([data])
    assert refused
    assert os.pread(descriptor, len(data) + 1, 0) == data


@pytest.mark.parametrize(("number", "error"), [(errno.ENOSPC, DriveFull), (errno.EIO, DriveOffline)])
def test_errors_are_the_drives(tmp_path, monkeypatch, number, error):
    file = ShardFile(str(tmp_path / "shard"), CHUNK_BYTES, offline)

    def failing(_descriptor, _view):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "write", failing)
    file.write([bytes(CHUNK_BYTES - 1)])
    with pytest.raises(error):
        file.write([bytes(CHUNK_BYTES)])
    with pytest.raises(error):
        file.finish()
    file.discard()
    assert not (tmp_path / "shard").exists()
