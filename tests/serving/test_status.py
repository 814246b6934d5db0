"""``cortex-status``: what it makes of two pages, and the command against a server."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import tritonclient.grpc as triton
from click.testing import CliRunner

from cortex.serving.client.page import WANTED, Page, Row, quantile, rows
from cortex.serving.client.status import duration, main
from cortex.serving.server import Server

from .certificates import certificates
from .repositories import sample
from .running import running

DENSE = ("dense", "1")
INF = math.inf


def page(at: float, **values: float) -> Page:
    """A page about one version; ``requests_total__OK=3`` is a counter with a code."""
    named = {
        (f"cortex_{name}", detail.replace("_", "."))
        if name == "request_seconds_bucket"
        else (f"cortex_{name}", detail): value
        for (name, _, detail), value in ((key.partition("__"), v) for key, v in values.items())
    }
    return Page(at, {DENSE: {("cortex_model_ready", ""): 1.0, **named}})


@pytest.mark.parametrize(
    ("share", "buckets", "found"),
    [
        (0.5, [(1.0, 0.0), (2.0, 10.0), (INF, 10.0)], 1.5),
        (0.99, [(1.0, 100.0), (INF, 100.0)], 0.99),
        (0.99, [(1.0, 90.0), (2.0, 90.0), (INF, 100.0)], 2.0),
        (0.5, [(1.0, 0.0), (INF, 0.0)], None),
        (0.5, [], None),
    ],
)
def test_a_quantile(
    share: float, buckets: Sequence[tuple[float, float]], found: float | None
) -> None:
    assert quantile(share, buckets) == found


def test_rates_are_those_between_the_pages() -> None:
    before = page(10.0, requests_total__OK=100, inferences_total=100, executions_total=50)
    after = page(
        12.0,
        requests_total__OK=120,
        requests_total__INTERNAL=4,
        requests_total__CANCELLED=2,
        inferences_total=160,
        executions_total=60,
        queue_requests=3,
        request_seconds_bucket__0_01=26,
        request_seconds_bucket__0_1=26,
    )
    p99 = quantile(0.99, [(0.01, 26.0), (0.1, 26.0)])
    assert rows(before, after) == [Row("dense", "1", "ready", 13.0, 2.0, 0.005, p99, 6.0, 3)]


def test_a_server_that_began_anew_counts_from_nothing() -> None:
    (row,) = rows(page(0.0, requests_total__OK=100), page(1.0, requests_total__OK=5))
    assert row.requests_per_second == 5


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ({}, "ready"),
        ({"model_fallback": 1}, "fallback"),
        ({"model_ready": 0}, "loading"),
        ({"model_ready": 0, "model_load_failures_total": 1}, "not loaded"),
        (
            {"model_ready": 0, "model_load_failures_total": 1, "model_check_failures_total": 1},
            "check failed",
        ),
    ],
)
def test_the_state(values: dict[str, float], state: str) -> None:
    now = page(1.0, **values)
    assert rows(now, now)[0].state == state


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0.0001234, "123 µs"), (0.0123, "12.3 ms"), (2.5, "2.50 s")],
)
def test_a_duration(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_the_command_shows_a_server(server: Server) -> None:
    with triton.InferenceServerClient(str(server.grpc)) as client:
        x = triton.InferInput("x", [3, 4], "FP32")
        x.set_data_from_numpy(sample(3))
        client.infer("dense", [x])
    asked = [str(server.metrics), "--interval", "0.1"]
    table = CliRunner().invoke(main, [*asked, "--once"], catch_exceptions=False)
    assert table.exit_code == 0
    assert table.stdout.splitlines()[0].split()[:3] == ["model", "version", "state"]
    shown = json.loads(CliRunner().invoke(main, [*asked, "--json"]).stdout)
    found = {(row["model"], row["version"]): row for row in shown["models"]}
    assert found["dense", "2"]["state"] == "ready"
    assert found["broken", "1"]["state"] == "check failed"


@pytest.mark.parametrize(
    ("address", "message", "status"),
    [
        ("http://x", "'http://x': give the server as HOST:PORT, such as localhost:8002", 2),
        ("", "'': give the server as HOST:PORT, such as localhost:8002", 2),
        ("a/b", "'a/b:8002': give the server as HOST:PORT, such as localhost:8002", 2),
        ("nowhere.invalid", "nowhere.invalid:8002: cannot be reached: [Errno -", 3),
        ("localhost:1", "localhost:1: cannot be reached: [Errno 111] Connection refused", 3),
    ],
)
def test_what_it_cannot_show(address: str, message: str, status: int) -> None:
    found = CliRunner().invoke(main, [address, "--once"])
    assert found.exit_code == status
    assert found.stderr.startswith(f"cortex-status: {message}")
    assert found.stderr.count("\n") == 1


OTHERS = {
    "http": "/metrics answers 404 Not Found",
    "grpc": "it does not speak HTTP, as the gRPC port does not; give its --metrics-port",
}


@pytest.mark.parametrize("port", OTHERS)
def test_another_port_is_told_so(server: Server, port: str) -> None:
    address = getattr(server, port)
    found = CliRunner().invoke(main, [str(address), "--once"])
    assert found.exit_code == 3
    assert found.stderr == f"cortex-status: {address}: {OTHERS[port]}\n"


def test_only_what_is_asked_for_is_on_the_page(server: Server) -> None:
    url = f"http://{server.metrics}/metrics"
    for name in WANTED:
        text = httpx.get(url, params={"name[]": name}).text
        assert {line.split()[2] for line in text.splitlines() if line[0] == "#"} in (
            {name}, {f"{name}_total"}, {f"{name}_info"},
        )  # fmt: skip
    assert "cortex_compute_seconds" in httpx.get(url).text
    assert httpx.get(url, params={"name[]": "none"}).text == ""


@pytest.mark.parametrize(
    ("settings", "environment", "expected"),
    [
        ({}, {}, 0),
        ({"strict_readiness": True}, {}, 3),  # one of its models is broken
        ({}, {"METRICS_PORT": "1"}, 3),
        ({}, {"METRICS_PORT": "0"}, 2),
        ({}, {"METRICS_PORT": "x"}, 2),
        ({}, {"HOST": "0.0.0.0"}, 0),
        ({"tls": True}, {"TLS": "1"}, 0),
        ({"tls": True, "ask": True}, {"TLS": "1"}, 0),
        ({"tls": True}, {}, 3),
        ({}, {"TLS": "1"}, 3),
    ],
)
def test_health_of_the_server_beside_it(
    repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
    environment: dict[str, str],
    expected: int,
) -> None:
    cert, key = (pem := certificates(tmp_path)).server
    if settings.pop("tls", False):
        settings = settings | {"tls_cert": cert, "tls_key": key}
    if settings.pop("ask", False):  # by the same authority as the server's own
        settings = settings | {"tls_client_ca": pem.ca, "protect_metrics": True}
    if environment.get("TLS"):
        environment = environment | {"TLS_CERT": str(cert), "TLS_KEY": str(key)}
    with running(repository, **settings) as server:
        found = {"METRICS_PORT": str(server.metrics.port)} | environment
        for name, value in found.items():
            monkeypatch.setenv(f"CORTEX_SERVE_{name}", value)
        asked = CliRunner().invoke(main, ["--health"])
        assert (asked.exit_code, asked.stdout) == (expected, ""), asked.stderr
        assert len(asked.stderr.splitlines()) == (expected > 0)


def test_health_of_a_server_elsewhere(server: Server, tmp_path: Path, repository: Path) -> None:
    pem = certificates(tmp_path)
    cert, key = pem.server
    assert CliRunner().invoke(main, [str(server.metrics), "--health"]).exit_code == 0
    with running(repository, tls_cert=cert, tls_key=key) as other:
        asked = [str(other.metrics), "--health"]
        assert CliRunner().invoke(main, [*asked, "--tls-ca", str(pem.ca)]).exit_code == 0
        assert CliRunner().invoke(main, [*asked, "--tls-ca", str(pem.other)]).exit_code == 3


def test_a_protected_page_is_asked_for_with_a_token_over_tls(
    repository: Path, tmp_path: Path
) -> None:
    pem = certificates(tmp_path)
    token = tmp_path / "token"
    token.write_text("# ours\n" + "d" * 40 + "\n")
    cert, key = pem.server
    protected = {"token_file": token, "protect_metrics": True}
    with running(repository, tls_cert=cert, tls_key=key, **protected) as server:
        asked = [str(server.metrics), "--json", "--interval", "0.1", "--tls-ca"]
        found = CliRunner().invoke(main, [*asked, str(pem.ca), "--token-file", str(token)])
        assert found.exit_code == 0
        assert json.loads(found.stdout)["models"]
        refused = CliRunner().invoke(main, [*asked, str(pem.ca)])
        assert "/metrics answers 401 Unauthorized" in refused.stderr
        strange = CliRunner().invoke(main, [*asked, str(pem.other)])
        assert "cannot be reached: [SSL: CERTIFICATE_VERIFY_FAILED]" in strange.stderr
