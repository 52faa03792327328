"""The first start in any order, later starts, growing, and nodes that do not belong."""

import json
import shutil
from pathlib import Path

from tests.cluster.cluster import poll
from tests.e2e.payloads import noise


def deployments(cluster):
    """The deployment ids on the drives that are formatted."""
    found = set()
    for node in cluster.nodes:
        for drive in node.drives:
            path = Path(drive, ".rustfs", "format.json")
            if path.exists():
                found.add(json.loads(path.read_text())["deployment_id"])
    return found


def test_nodes_agree_in_any_order_however_late_or_often_they_start(own):
    own.nodes[2].launch()
    own.nodes[2].kill()  # before it could agree with anybody
    own.nodes[2].launch()
    poll("it answers while it waits", lambda: own.nodes[2].get("/rustfs/health/live")[0] == 200, 30)
    assert own.nodes[2].get("/rustfs/health/ready")[0] == 503
    assert own.nodes[2].get("/bucket/key")[0] == 503
    assert deployments(own) == set()
    own.nodes[0].launch()
    own.nodes[3].launch()
    for number in (0, 2, 3):
        own.nodes[number].wait_ready(60)
    own.s3(0).create_bucket(Bucket="early")
    own.s3(2).put_object(Bucket="early", Key="k", Body=b"v")
    own.nodes[1].launch()  # late
    own.wait_together()
    assert own.s3(1).get_object(Bucket="early", Key="k")["Body"].read() == b"v"
    assert len(deployments(own)) == 1
    own.wait_whole()
    before = deployments(own)
    assert own.stop() == [0] * 4
    own.start()
    assert deployments(own) == before
    assert own.s3(3).get_object(Bucket="early", Key="k")["Body"].read() == b"v"


def test_a_node_with_another_secret_or_other_volumes_is_refused_in_words(own):
    own.start()
    own.kill(3)
    own.nodes[3].environment = {"RUSTFS_SECRET_KEY": "quite-another-secret"}
    own.nodes[3].launch()
    poll("the stranger is told", lambda: "the signature is wrong" in own.nodes[3].log_tail(), 30, own.log_tail)
    assert own.nodes[3].get("/rustfs/health/ready")[0] == 503
    own.kill(3)
    own.nodes[3].environment = {}
    volumes = own.nodes[3].volumes
    own.nodes[3].volumes = [*volumes[:3], volumes[3].replace("drive1", "another")]
    own.nodes[3].launch()
    poll("the difference is named", lambda: "other volumes" in own.nodes[3].log_tail(), 30, own.log_tail)
    assert "another" in own.nodes[3].log_tail()
    assert own.health(0) == 200
    own.kill(3)
    own.nodes[3].volumes = volumes
    own.nodes[3].launch()
    own.wait_together()


def test_a_drive_of_another_cluster_is_refused(make_cluster):
    first, second = make_cluster().start(), make_cluster().start()
    first.stop()
    second.kill(1)
    foreign = second.nodes[1].drives[0]
    shutil.rmtree(foreign)
    shutil.copytree(first.nodes[1].drives[0], foreign)
    second.nodes[1].launch()

    def refused():
        process = second.nodes[1].process
        return (process is not None and process.poll() is not None) or "another cluster" in second.nodes[1].log_tail()

    poll("the drive is refused", refused, 30, second.log_tail)
    assert second.health(0) == 200


def test_a_loaded_cluster_grows(make_cluster):
    cluster = make_cluster(node_count=2, drives_per_node=4)
    first, second = cluster.nodes
    pools = [f"http://{node.address}{node.directory}/drive{{1...4}}" for node in cluster.nodes]
    first.volumes = pools[:1]
    first.start()
    client = cluster.s3(0)
    client.create_bucket(Bucket="growing")
    old = {f"old{number}": noise(1_000 + 9_000 * number, number) for number in range(30)}
    for key, data in old.items():
        client.put_object(Bucket="growing", Key=key, Body=data)
    upload = client.create_multipart_upload(Bucket="growing", Key="begun before")["UploadId"]
    part = client.upload_part(Bucket="growing", Key="begun before", UploadId=upload, PartNumber=1, Body=b"part")
    assert first.stop() == 0
    first.volumes = second.volumes = pools
    cluster.start()
    assert len(deployments(cluster)) == 1
    new = {f"new{number}": noise(2_000 + 5_000 * number, 100 + number) for number in range(30)}
    for number, (key, data) in enumerate(new.items()):
        cluster.s3(number % 2).put_object(Bucket="growing", Key=key, Body=data)
    cluster.s3(1).put_object(Bucket="growing", Key="old0", Body=b"changed")
    cluster.s3(1).delete_object(Bucket="growing", Key="old1")
    cluster.s3(1).complete_multipart_upload(
        Bucket="growing",
        Key="begun before",
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )
    expected = {**old, **new, "old0": b"changed", "begun before": b"part"}
    del expected["old1"]
    for number in range(2):
        listed = [entry["Key"] for entry in cluster.s3(number).list_objects_v2(Bucket="growing")["Contents"]]
        assert listed == sorted(expected)
        for key, data in expected.items():
            assert cluster.s3(number).get_object(Bucket="growing", Key=key)["Body"].read() == data
    cluster.wait_chosen()
    kept = [drive["versions"] for drive in cluster.facts(0, "info")["drives"] if drive["pool"] == 1]
    assert min(kept) > 0, "the new pool got its share"
    assert cluster.stop() == [0, 0]
