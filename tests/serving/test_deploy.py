"""The manifests of deploy/: valid by Kubernetes' own schema, and true of the server and image."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from cortex.serving.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
OPTIONS = {f.name for f in fields(Settings)}
PORTS = {"http": 8000, "grpc": 8001, "metrics": 8002}


def read(*path: str) -> Any:
    return yaml.safe_load(DEPLOY.joinpath(*path).read_text())


KUBERNETES: Sequence[str] = read("kubernetes", "kustomization.yaml")["resources"]


def containers() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each container of ours that Kubernetes or KServe runs."""
    pod = read("kubernetes", "deployment.yaml")["spec"]["template"]["spec"]
    yield "kubernetes", pod["containers"][0]
    yield "kserve", read("kserve", "cluster-serving-runtime.yaml")["spec"]["containers"][0]


CONTAINERS = dict(containers())


def test_kubernetes_accepts_the_manifests() -> None:
    folder = DEPLOY / "kubernetes"
    assert {path.name for path in folder.iterdir()} == {*KUBERNETES, "kustomization.yaml"}
    validate = Path(sys.executable).with_name("kubernetes-validate")
    done = subprocess.run(
        [validate, "--strict", *KUBERNETES], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
def test_a_container_may_do_nothing_that_it_need_not(container: Mapping[str, Any]) -> None:
    may = container["securityContext"]
    assert may["readOnlyRootFilesystem"]
    assert not may["allowPrivilegeEscalation"]
    assert may["capabilities"] == {"drop": ["ALL"]}
    assert {"requests", "limits"} <= container["resources"].keys()


@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
def test_a_container_gives_options_that_there_are(container: Mapping[str, Any]) -> None:
    given = [word.partition("=")[0] for word in container["args"] if word.startswith("--")]
    told = [each["name"].removeprefix("CORTEX_SERVE_") for each in container.get("env", ())]
    options = {option.removeprefix("--").replace("-", "_") for option in given}
    assert options | {name.lower() for name in told} <= OPTIONS


def test_the_pod_is_the_images_user_and_the_ports_are_the_servers() -> None:
    pod = read("kubernetes", "deployment.yaml")["spec"]["template"]["spec"]
    user = re.search(r"^USER (\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert user
    assert pod["securityContext"]["runAsNonRoot"]
    assert str(pod["securityContext"]["runAsUser"]) == user[1]
    container = CONTAINERS["kubernetes"]
    assert {at["name"]: at["containerPort"] for at in container["ports"]} == PORTS
    service = read("kubernetes", "service.yaml")["spec"]
    assert {at["targetPort"]: at["port"] for at in service["ports"]} == PORTS
    assert {name: getattr(Settings(()), f"{name}_port") for name in PORTS} == PORTS
    assert container["readinessProbe"]["grpc"]["port"] == PORTS["grpc"]


def test_the_pod_is_given_time_to_drain() -> None:
    pod = read("kubernetes", "deployment.yaml")["spec"]["template"]["spec"]
    told = {each["name"]: each["value"] for each in CONTAINERS["kubernetes"]["env"]}
    needed = float(told["CORTEX_SERVE_DRAIN_DELAY"]) + Settings(()).drain_seconds
    assert pod["terminationGracePeriodSeconds"] > needed


def test_compose_mounts_what_is_there_and_prometheus_finds_the_server() -> None:
    services = read("docker-compose.yml")["services"]
    assert services["cortex"]["read_only"]
    mounted = [each.partition(":")[0] for name in services for each in services[name]["volumes"]]
    local = [each for each in mounted if each.startswith("./")]
    assert len(local) == 3
    for path in local:
        assert (DEPLOY / path).is_dir()
    (job,) = read("prometheus", "prometheus.yml")["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"cortex:{PORTS['metrics']}"]}]
    source = read("grafana", "provisioning", "datasources", "prometheus.yml")["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    provider = read("grafana", "provisioning", "dashboards", "cortex.yml")["providers"][0]
    place = provider["options"]["path"]
    assert f"./grafana/dashboards:{place}:ro" in services["grafana"]["volumes"]


def test_kserve_runs_what_it_describes() -> None:
    runtime = read("kserve", "cluster-serving-runtime.yaml")
    service = read("kserve", "inference-service.yaml")["spec"]["predictor"]["model"]
    assert service["runtime"] == runtime["metadata"]["name"]
    formats = {at["name"]: at for at in runtime["spec"]["supportedModelFormats"]}
    assert service["modelFormat"]["version"] == formats[service["modelFormat"]["name"]]["version"]
    assert service["protocolVersion"] in runtime["spec"]["protocolVersions"]
    assert runtime["spec"]["annotations"]["prometheus.kserve.io/port"] == str(PORTS["metrics"])
    (port,) = CONTAINERS["kserve"]["ports"]
    assert f"--http-port={port['containerPort']}" in CONTAINERS["kserve"]["args"]
