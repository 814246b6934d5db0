"""Who is let in: certificates, tokens, control calls, and what the log says of them."""

from __future__ import annotations

import json
import logging
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from cortex.runtime.errors import CortexError, UnreadableFile, UsageError
from cortex.serving.errors import Forbidden, Unauthenticated
from cortex.serving.logs import FIELDS, JsonLines, TextLines
from cortex.serving.pb import open_inference_grpc_pb2 as pb
from cortex.serving.rpc.protocol import AREAS, path
from cortex.serving.security.areas import Area
from cortex.serving.security.guard import Caller, Guard
from cortex.serving.security.tls import Tls
from cortex.serving.security.tokens import Tokens
from cortex.serving.server import Server
from cortex.serving.settings import Settings

from .certificates import Certificates, certificates
from .repositories import dense, sample
from .running import running

TOKEN, CONTROL = "0123456789abcdef-data", "0123456789abcdef-control"
LOAD = path("RepositoryModelLoad")
Code = grpc.StatusCode


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of one model."""
    root = tmp_path_factory.mktemp("models")
    dense(root)
    return root


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates."""
    return certificates(tmp_path_factory.mktemp("pem"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Files of tokens, by option."""
    folder = tmp_path_factory.mktemp("tokens")
    named = {"token_file": TOKEN, "control_token_file": CONTROL}
    for name, token in named.items():
        (folder / name).write_text(f"# ours\n\n{'f' * 32}\n{token}\n")
    return {name: folder / name for name in named}


@pytest.fixture(scope="module")
def mutual(models: Path, pem: Certificates) -> Iterator[Server]:
    """A server that asks its clients for certificates."""
    cert, key = pem.server
    with running(models, tls_cert=cert, tls_key=key, tls_client_ca=pem.ca) as server:
        yield server


@pytest.fixture(scope="module")
def closed(models: Path, files: dict[str, Any]) -> Iterator[Server]:
    """A server that asks for tokens everywhere."""
    with running(models, **files, protect_metrics=True) as server:
        yield server


def infer(client: Any, **given: Any) -> None:
    """Asks the model over Triton's gRPC client."""
    tensor = triton.InferInput("x", [2, 4], "FP32").set_data_from_numpy(sample())
    client.infer("dense", [tensor], **given)


def over_tls(server: Server, ca: Path, pair: tuple[Path, Path] | None) -> Any:
    """Triton's gRPC client."""
    cert, key = pair or (None, None)
    return triton.InferenceServerClient(
        str(server.grpc),
        ssl=True,
        root_certificates=str(ca),
        certificate_chain=cert and str(cert),
        private_key=key and str(key),
    )


def trusting(ca: Path, pair: tuple[Path, Path] | None) -> ssl.SSLContext:
    """How an HTTP client trusts ``ca`` and shows its own certificate."""
    context = ssl.create_default_context(cafile=ca)
    if pair:
        context.load_cert_chain(*pair)
    return context


def test_a_client_with_its_certificate_is_served(mutual: Server, pem: Certificates) -> None:
    with over_tls(mutual, pem.ca, pem.client) as client:
        infer(client)
    context = trusting(pem.ca, pem.client)
    assert httpx.get(f"https://{mutual.http}/v2/models/dense", verify=context).status_code == 200


@pytest.mark.parametrize("wrong", ["ca", "no certificate", "a stranger's"])
def test_others_are_not(mutual: Server, pem: Certificates, wrong: str) -> None:
    ca = pem.other if wrong == "ca" else pem.ca
    pair = {"ca": pem.client, "a stranger's": pem.stranger}.get(wrong)
    with over_tls(mutual, ca, pair) as client, pytest.raises(InferenceServerException):
        infer(client, client_timeout=5)
    context = trusting(ca, pair)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"https://{mutual.http}/v2", verify=context)


def test_without_tls_nobody_is(mutual: Server) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://{mutual.http}/v2")


def test_metrics_and_probes_need_no_certificate(mutual: Server, pem: Certificates) -> None:
    context = trusting(pem.ca, None)
    for page in ("metrics", "v2/health/live", "v2/health/ready"):
        assert httpx.get(f"https://{mutual.metrics}/{page}", verify=context).status_code == 200


def test_a_renewed_certificate_is_taken_up(models: Path, tmp_path: Path) -> None:
    first = certificates(tmp_path)
    with running(models, tls_cert=first.server[0], tls_key=first.server[1]) as server:
        url = f"https://{server.http}/v2"
        httpx.get(url, verify=trusting(first.ca, None))
        second = certificates(tmp_path)
        assert server.live.tls
        server.live.tls.renew()
        httpx.get(url, verify=trusting(second.ca, None))
        with over_tls(server, second.ca, None) as client:
            infer(client)
        second.server[0].write_text("no certificate")
        with pytest.raises(UnreadableFile):
            server.live.tls.renew()
        httpx.get(url, verify=trusting(second.ca, None))


def broken(pem: Certificates, folder: Path) -> dict[str, tuple[Path, Path, Path | None, str]]:
    """What cannot be served with, and a word of the error."""
    cert, key = pem.server
    text, missing = folder / "text", folder / "missing"
    text.write_text("text")
    return {
        "missing": (missing, key, None, "missing: No such file"),
        "no PEM": (text, key, None, "must be PEM files that fit together"),
        "of another": (cert, pem.client[1], None, "key values mismatch"),
        "no CA": (cert, key, text, "must be PEM files that fit together"),
        "missing CA": (cert, key, missing, "missing: No such file"),
    }


@pytest.mark.parametrize("what", ["missing", "no PEM", "of another", "no CA", "missing CA"])
def test_files_that_are_no_certificates(pem: Certificates, tmp_path: Path, what: str) -> None:
    cert, key, ca, word = broken(pem, tmp_path)[what]
    with pytest.raises(UnreadableFile, match=word):
        Tls(cert, key, ca)


def test_a_token_is_asked_for(closed: Server) -> None:
    with triton.InferenceServerClient(str(closed.grpc)) as client:
        assert client.is_server_ready()
        infer(client, headers={"authorization": f"Bearer {TOKEN}"})
        for headers in (None, {"authorization": "Bearer wrong"}, {"authorization": f"{TOKEN}"}):
            with pytest.raises(InferenceServerException, match="token") as error:
                infer(client, headers=headers)
            assert error.value.status() == "StatusCode.UNAUTHENTICATED"


def test_a_token_is_asked_for_over_http(closed: Server) -> None:
    allowed = {"authorization": f"bearer {TOKEN}"}
    for url, open_to_all in (
        (f"http://{closed.http}/v2/models/dense", False),
        (f"http://{closed.metrics}/metrics", False),
        (f"http://{closed.http}/v2/health/ready", True),
        (f"http://{closed.http}/v2/models/dense/ready", True),
    ):
        assert httpx.get(url, headers=allowed).status_code == 200
        refused = httpx.get(url)
        assert refused.status_code == (200 if open_to_all else 401)
        if not open_to_all:
            assert "authorization: Bearer TOKEN" in refused.json()["error"]
            assert refused.headers["www-authenticate"] == "Bearer"


def test_who_is_refused_is_not_read(closed: Server) -> None:
    with grpc.insecure_channel(str(closed.grpc)) as channel:
        call: Any = channel.stream_stream(path("ModelInfer"))

        def endless() -> Iterator[bytes]:
            while call_is_open:
                yield b""

        call_is_open = True
        answer = call(endless(), timeout=5)
        with pytest.raises(grpc.RpcError):
            next(answer)
        call_is_open = False
        assert answer.code() is Code.UNAUTHENTICATED


def test_the_tokens_of_one_area_are_not_those_of_the_other(closed: Server) -> None:
    with grpc.insecure_channel(str(closed.grpc)) as channel:
        for method, token in ((LOAD, TOKEN), (path("ServerMetadata"), CONTROL)):
            call: Any = channel.unary_unary(method)
            with pytest.raises(grpc.RpcError) as error:
                call(b"", metadata=[("authorization", f"Bearer {token}")])
            assert error.value.code() is Code.UNAUTHENTICATED  # type: ignore[attr-defined]


HOME, AWAY = Caller("127.0.0.1", "5000", {}), Caller("192.0.2.7", "5000", {})
CALLERS: dict[str, tuple[Caller, bool]] = {
    "IPv4": (HOME, True),
    "IPv6": (Caller("::1", "5000", {}), True),
    "IPv4 in IPv6": (Caller("::ffff:127.0.0.1", "5000", {}), True),
    "a socket": (Caller("unix", "", {}), True),
    "elsewhere": (AWAY, False),
    "elsewhere in IPv6": (Caller("2001:db8::1", "5000", {}), False),
    "unknown": (Caller("", "", {}), False),
    "a proxy": (Caller("127.0.0.1", "5000", {"x-forwarded-for": "192.0.2.7"}), False),
    "a page in a browser": (Caller("127.0.0.1", "5000", {"origin": "http://evil.test"}), False),
}


@pytest.mark.parametrize(("caller", "local"), CALLERS.values(), ids=list(CALLERS))
def test_control_calls_come_from_this_machine(caller: Caller, local: bool) -> None:
    guard = Guard(Settings(("models",)))
    assert guard.admit(Area.DATA, caller) == ("local" if local else "anybody")
    if local:
        assert guard.admit(Area.CONTROL, caller) == "local"
    else:
        with pytest.raises(Forbidden, match="--control-token-file to serve them to others"):
            guard.admit(Area.CONTROL, caller)


def test_with_tokens_they_come_from_anywhere(files: dict[str, Any]) -> None:
    guard = Guard(Settings(("models",), **files))
    header = {"authorization": f"Bearer {CONTROL}"}
    identity = guard.admit(Area.CONTROL, Caller("192.0.2.7", "5000", header))
    assert identity.startswith("token ")
    assert CONTROL not in identity
    with pytest.raises(Unauthenticated):
        guard.admit(Area.CONTROL, HOME)
    guard.admit(Area.HEALTH, AWAY)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "no token in it"),
        ("# only words\n", "no token in it"),
        ("short\n", "line 1: a token is at least 16"),
        ("a" * 20 + " b\n", "line 1: .* without spaces"),
        ("é" * 20, "ASCII"),
    ],
)
def test_a_file_that_has_no_tokens(tmp_path: Path, text: str, word: str) -> None:
    file = tmp_path / "tokens"
    file.write_text(text)
    with pytest.raises(UnreadableFile, match=word):
        Tokens(file)


def test_a_file_of_tokens_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="No such file"):
        Tokens(tmp_path / "tokens")


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"tls_cert": Path("c")}, "--tls-key"),
        ({"tls_key": Path("k")}, "--tls-cert"),
        ({"tls_client_ca": Path("a")}, "--tls-cert"),
        ({"protect_metrics": True}, "--token-file or --tls-client-ca"),
    ],
)
def test_options_that_do_nothing_alone(given: dict[str, Any], missing: str) -> None:
    with pytest.raises(UsageError, match=f"without {missing}"):
        Settings(("models",), **given)


def test_every_method_has_an_area() -> None:
    served = {
        path(method.name)
        for method in pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
    }
    assert served <= AREAS.keys()
    assert AREAS[LOAD] is Area.CONTROL


def lines(caplog: pytest.LogCaptureFixture, kind: str) -> list[dict[str, Any]]:
    """The fields of what a logger wrote."""
    return [vars(record)[FIELDS] for record in caplog.records if record.name.endswith(kind)]


def written(caplog: pytest.LogCaptureFixture, kind: str, count: int) -> list[dict[str, Any]]:
    """Waits for so many lines: a client may have its answer before they are written."""
    until = time.monotonic() + 5
    while len(lines(caplog, kind)) < count and time.monotonic() < until:
        time.sleep(0.01)
    return lines(caplog, kind)


def test_control_calls_are_in_the_log(closed: Server, caplog: pytest.LogCaptureFixture) -> None:
    with grpc.insecure_channel(str(closed.grpc)) as channel:
        call: Any = channel.unary_unary(LOAD)
        for headers in ([], [("authorization", f"Bearer {CONTROL}")]):
            with pytest.raises(grpc.RpcError):
                call(b"", metadata=headers)
    refused, allowed = written(caplog, "audit", 2)
    assert refused.keys() >= {"call", "peer", "code", "ms"}
    assert (refused["call"], refused["code"]) == ("RepositoryModelLoad", "UNAUTHENTICATED")
    assert allowed["identity"].startswith("token ")
    assert allowed["peer"].startswith("127.0.0.1:")


def test_requests_are_in_the_log_if_asked_for(
    models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(models) as server, triton.InferenceServerClient(str(server.grpc)) as client:
        infer(client)
        assert not lines(caplog, "access")
    with running(models, access_log=True) as server:
        with triton.InferenceServerClient(str(server.grpc)) as client:
            infer(client, request_id="seven")
            assert client.is_server_live()
        httpx.get(f"http://{server.http}/v2/models/nothing")
    first, second = written(caplog, "access", 2)
    assert first.pop("ms") > 0
    assert first.pop("peer").startswith("127.0.0.1:")
    assert first == {
        "call": "ModelInfer",
        "identity": "local",
        "model": "dense",
        "version": "1",
        "rows": 2,
        "id": "seven",
        "code": "OK",
    }
    assert (second["call"], second["code"]) == ("/v2/models/nothing", "NOT_FOUND")


def record(**fields: object) -> logging.LogRecord:
    """A record of the log."""
    made = logging.LogRecord("cortex", logging.INFO, "", 0, "done", None, None)
    setattr(made, FIELDS, fields)
    return made


WRITTEN: dict[str, tuple[Callable[[], logging.Formatter], str]] = {
    "text": (lambda: TextLines(None), 'done id="a \\"b\\"\\nc" rows=2'),
    "json": (JsonLines, '"message": "done", "id": "a \\"b\\"\\nc", "rows": 2}'),
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_line_of_the_log_stays_one(kind: str) -> None:
    formatter, end = WRITTEN[kind]
    line = formatter().format(record(id='a "b"\nc', rows=2))
    assert line.endswith(end)
    assert "\n" not in line
    assert len(formatter().format(record(id="x" * 10_000))) < 400


def test_a_traceback_is_within_its_line() -> None:
    made = record()
    try:
        raise CortexError("why")
    except CortexError as error:
        made.exc_info = (type(error), error, error.__traceback__)
    written = json.loads(JsonLines().format(made))
    assert written["exception"].endswith("CortexError: why")
    assert written["level"] == "info"
