"""What concurrent clients of several workers may rely on."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from tests.e2e.payloads import noise
from tests.e2e.test_boto3_multipart import PART_BYTES, complete, upload
from tests.e2e.test_boto3_objects import status_and_code

CONTENDERS = 16


def race(action) -> list[object]:
    """Run `action(0..15)` at once; results, with a ClientError's code in place of what was raised."""
    barrier = threading.Barrier(CONTENDERS)

    def contender(number: int) -> object:
        barrier.wait()
        try:
            return action(number)
        except ClientError as error:
            return error.response["Error"]["Code"]

    with ThreadPoolExecutor(CONTENDERS) as pool:
        return list(pool.map(contender, range(CONTENDERS)))


@pytest.mark.parametrize("size_bytes", [10, 300_000])
@pytest.mark.parametrize("attempt", range(4))
def test_exactly_one_creates(s3, bucket, attempt, size_bytes):
    bodies = [noise(size_bytes, number) for number in range(CONTENDERS)]

    def create(number: int) -> int:
        s3.put_object(Bucket=bucket, Key="k", Body=bodies[number], IfNoneMatch="*")
        return number

    results = race(create)
    winners = [result for result in results if isinstance(result, int)]
    assert len(winners) == 1, results
    assert set(results) - set(winners) <= {"PreconditionFailed", "ConditionalRequestConflict"}
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == bodies[winners[0]]


def test_compare_and_swap_counts_without_loss(s3, bucket):
    """Sixteen clients increment a number through If-Match; each success counts once.

    A write that lost its race halfway may be told, by 503, that nobody knows what became of it: it may count.
    """
    s3.put_object(Bucket=bucket, Key="counter", Body=b"0")
    unknown = []

    def increment(_number: int) -> int:
        successes = 0
        for _ in range(12):
            got = s3.get_object(Bucket=bucket, Key="counter")
            body = f"{int(got['Body'].read()) + 1}".encode()
            try:
                s3.put_object(Bucket=bucket, Key="counter", Body=body, IfMatch=got["ETag"])
            except ClientError as error:
                code = error.response["Error"]["Code"]
                assert code in ("PreconditionFailed", "ConditionalRequestConflict", "ServiceUnavailable")
                unknown.extend([code] * (code == "ServiceUnavailable"))
            else:
                successes += 1
        return successes

    results = race(increment)
    assert len(unknown) <= 5
    counted = int(s3.get_object(Bucket=bucket, Key="counter")["Body"].read())
    assert 0 < sum(results) <= counted <= sum(results) + len(unknown)


def test_exactly_one_completion_creates(s3, bucket):
    uploads = [upload(s3, bucket, "k", {1: f"{number}".encode()}) for number in range(CONTENDERS)]

    def finish(number: int) -> int:
        complete(s3, bucket, "k", *uploads[number], IfNoneMatch="*")
        return number

    results = race(finish)
    winners = [result for result in results if isinstance(result, int)]
    assert len(winners) == 1, results
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == f"{winners[0]}".encode()


def test_if_match_delete(s3, bucket):
    old = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["ETag"]
    new = s3.put_object(Bucket=bucket, Key="k", Body=b"2")["ETag"]
    with pytest.raises(ClientError) as raised:
        s3.delete_object(Bucket=bucket, Key="k", IfMatch=old)
    assert status_and_code(raised) == (412, "PreconditionFailed")
    s3.delete_object(Bucket=bucket, Key="k", IfMatch=new)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_if_match_on_a_missing_key(s3, bucket):
    with pytest.raises(ClientError) as raised:
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", IfMatch='"00000000000000000000000000000000"')
    assert status_and_code(raised) == (404, "NoSuchKey")


def test_readers_see_whole_versions_while_writers_replace_them(s3, bucket):
    versions = [bytes([65 + number]) * (PART_BYTES // 3 + number) for number in range(4)]
    s3.put_object(Bucket=bucket, Key="k", Body=versions[0])

    def act(number: int) -> bool:
        for step in range(6):
            if number % 4 == 0:
                s3.put_object(Bucket=bucket, Key="k", Body=versions[(number + step) % 4])
            else:
                assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() in versions
        return True

    assert race(act) == [True] * CONTENDERS


def test_a_written_object_is_seen_by_every_worker_at_once(server, bucket):
    """Each request opens a connection of its own, so that it may reach any worker."""
    for number in range(40):
        writer, reader = server.boto3_client(), server.boto3_client()
        try:
            writer.put_object(Bucket=bucket, Key="k", Body=f"{number}".encode())
            assert reader.get_object(Bucket=bucket, Key="k")["Body"].read() == f"{number}".encode()
        finally:
            writer.close()
            reader.close()
