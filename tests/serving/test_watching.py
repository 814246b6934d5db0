"""What deploy/ says to Prometheus and Grafana, held against a real Prometheus and a server at work.

Prometheus is Debian's (``apt install prometheus``). Where it is missing the tests are skipped, but
not in CI, which installs it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import tritonclient.grpc as triton
import yaml

from cortex.serving.server import Server

from .repositories import dense, sample
from .running import running

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "alerts.yml"
LISTENS = re.compile(r'msg="Listening on" address=(\S+)')
METRIC = re.compile(r"\b(?:cortex|process|nv)_\w+")
SCRAPES = 4.0  # seconds: rates need two scrapes a second apart, alerts one evaluation after these
PATIENCE = 30.0
RARE = {"Not on the provider they ask for", "Response cache, hits"}
"""Panels that are empty in a server without a GPU and without a cache."""


def rules() -> list[dict[str, Any]]:
    """The alerts."""
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return group["rules"]


def queries() -> Iterator[tuple[str, str]]:
    """The title of each panel and a query of it, with what Grafana would put for its variables."""
    board = json.loads((DEPLOY / "grafana" / "dashboards" / "cortex.json").read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            query = re.sub(r"\$(job|instance|model)\b", ".*", target["expr"])
            yield panel["title"], query.replace("$__rate_interval", "5s")


@pytest.fixture(scope="module")
def tools() -> None:
    """Prometheus and promtool are here."""
    if missing := [name for name in ("prometheus", "promtool") if not shutil.which(name)]:
        message = f"{missing[0]} is not installed: apt install prometheus"
        if os.environ.get("CORTEX_CI"):
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture(scope="module")
def prometheus(tools: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Prometheus' API, once it has seen a server at work for a while."""
    models = tmp_path_factory.mktemp("models")
    dense(models)
    dense(models, "broken", wrong="scores")
    with (
        running(models, nv_metrics=True) as server,
        scraping(server, tmp_path_factory.mktemp("prometheus")) as client,
        load(server),
    ):
        await_scrape(client)
        time.sleep(SCRAPES)
        yield client


@contextmanager
def scraping(server: Server, folder: Path) -> Generator[httpx.Client]:
    """Runs Prometheus as deploy/ configures it, but on our server, and faster."""
    config = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
    assert "cortex:8002" in config
    config = config.replace("cortex:8002", str(server.metrics)).replace("15s", "1s")
    (folder / "prometheus.yml").write_text(config)
    shutil.copy(RULES, folder)
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--web.listen-address=127.0.0.1:0",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        try:
            address = listening(process.stderr)
            reading = threading.Thread(target=process.stderr.read)  # or it would block on its log
            reading.start()
            with httpx.Client(base_url=f"http://{address}/api/v1") as client:
                yield client
        finally:
            process.terminate()
    reading.join()


def listening(log: Iterator[str]) -> str:
    """The address that Prometheus chose."""
    lines: list[str] = []
    for line in log:
        lines.append(line)
        if found := LISTENS.search(line):
            return found[1]
    pytest.fail("".join(lines))


@contextmanager
def load(server: Server) -> Generator[None]:
    """Asks all the time, now and then for what is not there."""
    leave = threading.Event()

    def ask() -> None:
        with triton.InferenceServerClient(str(server.grpc)) as client:
            x = triton.InferInput("x", [3, 4], "FP32")
            x.set_data_from_numpy(sample(3))
            while not leave.wait(0.005):
                client.infer("dense", [x])

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        leave.set()
        thread.join()


def await_scrape(client: httpx.Client) -> None:
    """Waits for the first answer of the server."""
    until = time.monotonic() + PATIENCE
    while not ask(client, 'up{job="cortex"} == 1'):
        assert time.monotonic() < until, client.get("/targets").text
        time.sleep(0.2)


def ask(client: httpx.Client, query: str) -> list[dict[str, Any]]:
    """The samples that a query finds."""
    answer = client.get("/query", params={"query": query}).json()
    assert answer["status"] == "success", f"{query}: {answer}"
    return answer["data"]["result"]


@pytest.mark.slow
def test_promtool_accepts_the_configuration_and_the_alerts_do_as_they_should(tools: None) -> None:
    folder = DEPLOY / "prometheus"
    for command in (
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts_test.yml"],
    ):
        done = subprocess.run(["promtool", *command], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_every_alert_is_evaluated_and_names_metrics_that_exist(prometheus: httpx.Client) -> None:
    groups = prometheus.get("/rules").json()["data"]["groups"]
    evaluated = {rule["name"]: rule for group in groups for rule in group["rules"]}
    assert evaluated.keys() == {rule["alert"] for rule in rules()}
    assert {name: rule["health"] for name, rule in evaluated.items()} == dict.fromkeys(
        evaluated, "ok"
    )
    known = set(prometheus.get("/label/__name__/values").json()["data"])
    for rule in rules():
        assert set(METRIC.findall(rule["expr"])) <= known, rule["alert"]
    assert evaluated["CortexCheckFailed"]["state"] == "firing"
    assert evaluated["CortexModelNotReady"]["state"] == "pending"
    assert evaluated["CortexDown"]["state"] == "inactive"


@pytest.mark.slow
def test_every_panel_of_the_dashboard_shows_something(prometheus: httpx.Client) -> None:
    known = set(prometheus.get("/label/__name__/values").json()["data"])
    for title, query in queries():
        assert set(METRIC.findall(query)) <= known, title
        found = ask(prometheus, query)
        assert found or title in RARE, f"{title}: {query}"


@pytest.mark.slow
def test_tritons_names_follow_the_requests(prometheus: httpx.Client) -> None:
    (rate,) = ask(prometheus, 'sum(rate(nv_inference_request_success{model="dense"}[5s]))')
    (rows,) = ask(prometheus, 'sum(rate(nv_inference_count{model="dense"}[5s]))')
    assert float(rate["value"][1]) > 1
    assert float(rows["value"][1]) == pytest.approx(3 * float(rate["value"][1]), rel=0.2)


def test_the_dashboard_can_be_put_to_any_source() -> None:
    board = json.loads((DEPLOY / "grafana" / "dashboards" / "cortex.json").read_text())
    variables = {each["name"]: each for each in board["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    for panel in board["panels"]:
        if panel["type"] != "row":
            sources = [panel["datasource"], *(each["datasource"] for each in panel["targets"])]
            assert {each["uid"] for each in sources} == {"${datasource}"}
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(numbers) == len(set(numbers))


def test_every_alert_says_what_to_do() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"].keys() == {"summary", "description"}
