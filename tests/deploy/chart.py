"""Rendering the Helm chart: with the helm program where there is one, else with Helm's library from PyPI."""

import importlib.util
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "rustfs"
# A helm built from source thinks of an old Kubernetes unless told.
KUBERNETES = "1.33.0"


class ChartRefused(AssertionError):
    """Helm refused the values, or a template failed; carries its words."""


def can_render() -> bool:
    """Whether there is anything to render with."""
    return shutil.which("helm") is not None or importlib.util.find_spec("helm_python") is not None


def render(values: dict[str, Any], release: str = "store", namespace: str = "prod") -> list[dict[str, Any]]:
    """The manifests for these values. Raises ChartRefused."""
    text = _by_program(values, release, namespace) if shutil.which("helm") else _by_library(values, release, namespace)
    return [document for document in yaml.safe_load_all(text) if document is not None]


def _by_program(values: dict[str, Any], release: str, namespace: str) -> str:
    done = subprocess.run(
        [
            "helm",
            "template",
            release,
            str(CHART),
            "--namespace",
            namespace,
            "--kube-version",
            KUBERNETES,
            "--values",
            "-",
        ],
        input=json.dumps(values),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        raise ChartRefused(done.stderr)
    return done.stdout


def _by_library(values: dict[str, Any], release: str, namespace: str) -> str:
    import helm_python

    with helm_python.Chart.load(str(CHART)) as chart:
        try:
            chart.validate_schema(values)
            manifests = chart.render(values, name=release, namespace=namespace)
        except helm_python.HelmError as error:
            raise ChartRefused(str(error)) from error
    return "\n---\n".join(text for path, text in manifests.items() if path.endswith(".yaml"))
