"""The Helm chart: valid for the Kubernetes API, safe by default, and right about the nodes that it starts."""

import json
import re
import subprocess
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.deploy.chart import CHART, ChartRefused, can_render, render
from tests.e2e.server import base_environment, rustfs_command

DEPLOY = CHART.parents[1]
KEYS = {"auth": {"existingSecret": "keys"}}
OWN_KEYS = {"auth": {"accessKey": "operator", "secretKey": "a long secret: with 'quotes' and \"others\""}}
EVERYTHING = {
    **KEYS,
    "extraPools": [{"replicas": 6, "drivesPerNode": 1, "size": "5Gi", "storageClass": "fast"}],
    "tls": {"existingSecret": "certificates"},
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "annotations": {"nginx.ingress.kubernetes.io/proxy-body-size": "0"},
        "hosts": ["s3.example.org"],
        "tls": [{"secretName": "s3", "hosts": ["s3.example.org"]}],
    },
    "service": {"type": "LoadBalancer", "port": 443, "annotations": {"a": "b"}},
    "settings": {"RUSTFS_STORAGE_CLASS_STANDARD": "EC:4", "RUSTFS_UPLOAD_EXPIRY_DAYS": 3},
    "workers": 2,
    "persistence": {"size": "1Ti", "storageClass": "local", "annotations": {"a": "b"}, "whenDeleted": "Delete"},
    "antiAffinity": "preferred",
    "nodeSelector": {"disk": "nvme"},
    "tolerations": [{"key": "storage", "operator": "Exists"}],
    "priorityClassName": "high",
    "imagePullSecrets": [{"name": "registry"}],
    "podAnnotations": {"a": "b"},
    "podLabels": {"team": "storage"},
    "serviceAccount": {"annotations": {"a": "b"}},
    "networkPolicy": {"enabled": True},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}, "tlsConfig": {"insecureSkipVerify": True}},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "dashboard": {"enabled": True},
}
CASES = {
    "least": KEYS,
    "own keys": OWN_KEYS,
    "one drive": {**KEYS, "replicas": 1, "drivesPerNode": 1},
    "all": EVERYTHING,
}

needs_helm = pytest.mark.skipif(not can_render(), reason="neither helm nor helm-python-sdk is here to render the chart")


def of_kind(manifests: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The manifests of a kind, in order."""
    return [each for each in manifests if each["kind"] == kind]


def container(stateful_set: dict[str, Any]) -> dict[str, Any]:
    """The node's container."""
    (only,) = stateful_set["spec"]["template"]["spec"]["containers"]
    return only


def environment(stateful_set: dict[str, Any]) -> dict[str, str]:
    """The node's variables."""
    return {each["name"]: each["value"] for each in container(stateful_set)["env"]}


def values_schema() -> dict[str, Any]:
    """The chart's values.schema.json."""
    return json.loads((CHART / "values.schema.json").read_text())


def default_values() -> dict[str, Any]:
    """The chart's values.yaml."""
    return yaml.safe_load((CHART / "values.yaml").read_text())


def test_the_default_values_fit_their_schema_and_the_schema_knows_all_of_them():
    schema = values_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.validate(default_values(), schema)
    assert schema["properties"].keys() - {"global"} == default_values().keys()


@pytest.mark.parametrize("case", CASES)
def test_the_values_that_are_rendered_here_fit_the_schema(case):
    jsonschema.validate(CASES[case], values_schema())


@pytest.mark.parametrize(
    "wrong",
    [
        {"replica": 4},
        {"replicas": 0},
        {"replicas": "4"},
        {"auth": {"secretKey": "rustfsadmin"}},
        {"auth": {"secretKey": "short"}},
        {"auth": {"accessKey": "with/slash"}},
        {"auth": {"accessKey": "with,comma"}},
        {"persistence": {"size": "big"}},
        {"extraPools": [{"replicas": 4}]},
        {"settings": {"RUSTFS_VOLUMES": "/elsewhere"}},
        {"settings": {"RUSTFS_SECRET_KEY": "in plain sight"}},
        {"ports": {"s3": 80}},
        {"ingress": {"enabled": True, "hosts": []}},
    ],
    ids=json.dumps,
)
def test_the_schema_refuses_what_cannot_work(wrong):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, values_schema())


@needs_helm
@pytest.mark.parametrize("version", ["1.27", "1.33", "1.37"])
@pytest.mark.parametrize("case", CASES)
def test_every_manifest_is_valid_for_the_kubernetes_api(case, version):
    manifests = render(CASES[case])
    assert {"StatefulSet", "Service", "ServiceAccount", "PodDisruptionBudget"} <= {each["kind"] for each in manifests}
    for manifest in manifests:
        if not manifest["apiVersion"].startswith(
            "monitoring.coreos.com/"
        ):  # of the Prometheus operator, not of the API
            kubernetes_validate.validate(manifest, version, strict=True)


@needs_helm
def test_the_schema_checker_refuses_a_misspelt_field():
    (manifest,) = of_kind(render(KEYS), "StatefulSet")
    manifest["spec"]["podManagmentPolicy"] = "Parallel"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, "1.33", strict=True)


@needs_helm
def test_without_keys_nothing_is_rendered():
    for values in ({}, {"auth": {"accessKey": "operator"}}, {"auth": {"secretKey": "long enough"}}):
        with pytest.raises(ChartRefused, match="there is no default"):
            render(values)


@needs_helm
def test_helm_itself_refuses_values_outside_the_schema():
    with pytest.raises(ChartRefused, match="replica"):
        render({**KEYS, "replica": 3})


@needs_helm
def test_every_node_gets_the_volumes_of_all_pools():
    first, second = of_kind(render(EVERYTHING), "StatefulSet")
    domain = "store-rustfs-headless.prod.svc.cluster.local:9000"
    for stateful_set in (first, second):
        assert container(stateful_set)["args"][:3] == [
            "start",
            f"https://store-rustfs-{{0...3}}.{domain}/data{{0...3}}",
            f"https://store-rustfs-pool1-{{0...5}}.{domain}/data0",
        ]
    assert (first["spec"]["replicas"], second["spec"]["replicas"]) == (4, 6)


@needs_helm
@pytest.mark.parametrize("case", CASES)
def test_the_volumes_name_every_pod_and_every_mount_there_is(case):
    manifests = render(CASES[case])
    named = set()
    for argument in container(of_kind(manifests, "StatefulSet")[0])["args"][1:]:
        if not argument.startswith("http"):
            break
        host, path = re.fullmatch(r"https?://([^:]*):9000(/.*)", argument).groups()
        named |= {(each, drive) for each in expanded(host) for drive in expanded(path)}
    there = set()
    for stateful_set in of_kind(manifests, "StatefulSet"):
        claims = {claim["metadata"]["name"] for claim in stateful_set["spec"]["volumeClaimTemplates"]}
        mounts = {each["mountPath"] for each in container(stateful_set)["volumeMounts"] if each["name"] in claims}
        assert len(mounts) == len(claims)
        domain = f"{stateful_set['spec']['serviceName']}.prod.svc.cluster.local"
        pods = [f"{stateful_set['metadata']['name']}-{number}" for number in range(stateful_set["spec"]["replicas"])]
        there |= {(f"{pod}.{domain}", mount) for pod in pods for mount in mounts}
    assert named == there


def expanded(text: str) -> list[str]:
    """What a text with at most one {A...B} stands for."""
    match = re.search(r"\{(\d+)\.\.\.(\d+)\}", text)
    if match is None:
        return [text]
    return [text.replace(match[0], str(number)) for number in range(int(match[1]), int(match[2]) + 1)]


@needs_helm
def test_nodes_start_together_and_find_one_another_before_they_are_ready():
    manifests = render(KEYS)
    (stateful_set,) = of_kind(manifests, "StatefulSet")
    assert stateful_set["spec"]["podManagementPolicy"] == "Parallel"
    clients, headless = of_kind(manifests, "Service")
    assert headless["metadata"]["name"] == stateful_set["spec"]["serviceName"]
    assert headless["spec"]["clusterIP"] == "None"
    assert headless["spec"]["publishNotReadyAddresses"] is True
    assert "publishNotReadyAddresses" not in clients["spec"], "clients must not reach a node that is not ready"
    labels = stateful_set["spec"]["template"]["metadata"]["labels"]
    (budget,) = of_kind(manifests, "PodDisruptionBudget")
    for selector in (
        clients["spec"]["selector"],
        headless["spec"]["selector"],
        budget["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
    assert stateful_set["spec"]["selector"]["matchLabels"].items() <= labels.items()
    offered = {port["name"] for port in container(stateful_set)["ports"]}
    assert {port["targetPort"] for port in headless["spec"]["ports"]} == offered == {"s3", "peer"}


@needs_helm
def test_probes_ask_whether_a_node_lives_and_whether_it_is_ready():
    for case, scheme in (("least", "HTTP"), ("all", "HTTPS")):
        for stateful_set in of_kind(render(CASES[case]), "StatefulSet"):
            probes = container(stateful_set)
            asked = {name: probes[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
            assert {each["scheme"] for each in asked.values()} == {scheme}
            assert {name: each["path"] for name, each in asked.items()} == {
                "startup": "/rustfs/health/live",
                "liveness": "/rustfs/health/live",
                "readiness": "/rustfs/health/ready",
            }


@needs_helm
@pytest.mark.parametrize("case", CASES)
def test_pods_have_no_more_rights_than_they_need(case):
    for stateful_set in of_kind(render(CASES[case]), "StatefulSet"):
        pod = stateful_set["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        user = re.search(r"useradd .*--uid (\d+)", (DEPLOY / "Dockerfile").read_text())
        assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == int(user[1])
        rights = container(stateful_set)["securityContext"]
        assert rights["readOnlyRootFilesystem"] is True
        assert rights["allowPrivilegeEscalation"] is False
        assert rights["capabilities"] == {"drop": ["ALL"]}
        # The read-only root leaves a place for the runtime directory.
        assert "/tmp" in {each["mountPath"] for each in container(stateful_set)["volumeMounts"]}


@needs_helm
@pytest.mark.parametrize("case", CASES)
def test_secrets_are_files_and_in_no_other_manifest(case):
    manifests = render(CASES[case])
    for stateful_set in of_kind(manifests, "StatefulSet"):
        variables = environment(stateful_set)
        assert "RUSTFS_SECRET_KEY" not in variables
        pod = stateful_set["spec"]["template"]["spec"]
        (keys,) = (each["secret"] for each in pod["volumes"] if each["name"] == "keys")
        (mount,) = (each for each in container(stateful_set)["volumeMounts"] if each["name"] == "keys")
        paths = {f"{mount['mountPath']}/{item['path']}" for item in keys["items"]}
        assert paths == {variables["RUSTFS_ACCESS_KEY_FILE"], variables["RUSTFS_SECRET_KEY_FILE"]}
        secrets = of_kind(manifests, "Secret")
        if secrets:
            assert secrets[0]["metadata"]["name"] == keys["secretName"]
            assert secrets[0]["stringData"] == OWN_KEYS["auth"]
            assert {item["key"] for item in keys["items"]} == secrets[0]["stringData"].keys()
    others = json.dumps([each for each in manifests if each["kind"] != "Secret"])
    assert json.dumps(OWN_KEYS["auth"]["secretKey"])[1:-1] not in others


@needs_helm
def test_options_and_variables_are_those_of_the_program():
    done = subprocess.run([*rustfs_command(), "start", "--help"], capture_output=True, text=True, check=True)
    flowing = " ".join(done.stdout.split())
    for stateful_set in of_kind(render(EVERYTHING), "StatefulSet"):
        options = {each for each in container(stateful_set)["args"] if each.startswith("--")}
        assert {each for each in options if each not in flowing} == set()
        assert {name for name in environment(stateful_set) if not re.search(rf"\b{name}\b", flowing)} == set()


@needs_helm
def test_pods_have_time_to_drain():
    for drain in (30, 300):
        (stateful_set,) = of_kind(render({**KEYS, "drainSeconds": drain}), "StatefulSet")
        assert environment(stateful_set)["RUSTFS_DRAIN_SECONDS"] == str(drain)
        assert stateful_set["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= drain + 15


@needs_helm
def test_certificates_are_mounted_where_tls_dir_says():
    for stateful_set in of_kind(render(EVERYTHING), "StatefulSet"):
        arguments = container(stateful_set)["args"]
        directory = arguments[arguments.index("--tls-dir") + 1]
        (mount,) = (each for each in container(stateful_set)["volumeMounts"] if each["name"] == "tls")
        assert mount["mountPath"] == directory
        (secret,) = (
            each["secret"] for each in stateful_set["spec"]["template"]["spec"]["volumes"] if each["name"] == "tls"
        )
        assert {item["path"] for item in secret["items"]} == {"public.crt", "private.key", "ca.crt"}


@needs_helm
@pytest.mark.parametrize("kind", ["required", "preferred"])
def test_nodes_of_a_pool_keep_off_one_anothers_machines(kind):
    (stateful_set,) = of_kind(render({**KEYS, "antiAffinity": kind}), "StatefulSet")
    rules = stateful_set["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"]
    (term,) = rules[f"{kind}DuringSchedulingIgnoredDuringExecution"]
    term = term.get("podAffinityTerm", term)
    assert term["topologyKey"] == "kubernetes.io/hostname"
    labels = stateful_set["spec"]["template"]["metadata"]["labels"]
    assert term["labelSelector"]["matchLabels"].items() <= labels.items()


@needs_helm
def test_alerts_and_dashboard_are_those_of_deploy():
    manifests = render(EVERYTHING)
    (rule,) = of_kind(manifests, "PrometheusRule")
    assert rule["spec"] == yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text())
    (board,) = of_kind(manifests, "ConfigMap")
    assert json.loads(board["data"]["rustfs.json"]) == json.loads((DEPLOY / "grafana" / "rustfs.json").read_text())
    (monitor,) = of_kind(manifests, "ServiceMonitor")
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["path"] == "/rustfs/metrics"
    assert {"targetLabel": "job", "replacement": "rustfs"} in endpoint["relabelings"]
    selected = monitor["spec"]["selector"]["matchLabels"].items()
    chosen = [each for each in of_kind(manifests, "Service") if selected <= each["metadata"]["labels"].items()]
    assert [each["spec"].get("clusterIP") for each in chosen] == ["None"], "each node is to be scraped once"


@needs_helm
def test_the_keys_of_the_chart_are_refused_by_the_program_where_they_are_refused_by_the_schema(tmp_path):
    """The least that the schema asks of keys is what the program asks."""
    for access, secret in (("ab", "long enough"), ("operator", "1234567")):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"auth": {"accessKey": access, "secretKey": secret}}, values_schema())
        keys = {"RUSTFS_ACCESS_KEY": access, "RUSTFS_SECRET_KEY": secret, "RUSTFS_VOLUMES": str(tmp_path / "drive")}
        done = subprocess.run(
            [*rustfs_command(), "start", "--address", "127.0.0.1:1"],
            capture_output=True,
            env=base_environment() | keys,
            timeout=30,
            check=False,
        )
        assert done.returncode == 2
        assert b"must" in done.stderr
