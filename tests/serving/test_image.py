"""The Dockerfile: linted, and its steps run in a clean Debian, where the server must then serve.

It needs root, debootstrap, a Debian mirror and PyPI. Where the first two are missing the tests are
skipped, but not in CI.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import tritonclient.grpc as triton

from .dockerfile import Image, build
from .repositories import dense, expected, sample

ROOT = Path(__file__).parents[2]
LARGEST = 600 << 20  # bytes of /opt/cortex
PATIENCE = 60.0


def test_hadolint_finds_nothing() -> None:
    lint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([lint, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """What the Dockerfile makes, for CPU."""
    if os.geteuid() or not shutil.which("debootstrap"):
        message = "building an image needs root and debootstrap: apt install debootstrap"
        if os.environ.get("CORTEX_CI"):
            pytest.fail(message)
        pytest.skip(message)
    with TemporaryDirectory() as folder:
        yield build((ROOT / "Dockerfile").read_text(), ROOT, Path(folder))


@contextmanager
def container(image: Image, port: int) -> Generator[subprocess.Popen[str]]:
    """Runs the image as Docker would with --read-only and --tmpfs /tmp, in its own mounts."""
    root = image.root
    for name in ("proc", "tmp"):
        (root / name).mkdir(exist_ok=True)
    ports = {"GRPC": 0, "HTTP": 0, "METRICS": port}
    environment = image.environment | {f"CORTEX_SERVE_{at}_PORT": str(n) for at, n in ports.items()}
    command = ["exec", "chroot", f"--userspec={image.user}:{image.user}", str(root), "env", "-i"]
    command += [f"{key}={value}" for key, value in environment.items()]
    script = [
        f"mount --bind {root} {root}",
        f"mount -t proc proc {root}/proc",
        f"mount -t tmpfs tmpfs {root}/tmp",
        f"mount -o remount,ro,bind {root}",
        shlex.join([*command, *image.entrypoint, *image.command]),
    ]
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-ec", "\n".join(script)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.slow
def test_the_image_serves_as_nobody_in_particular_and_writes_nowhere(image: Image) -> None:
    dense(image.root / "models")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with container(image, port) as process:
        assert process.stdout
        line = process.stdout.readline()
        assert line.startswith("ready: "), line
        assert "dense/1" in line
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert f"Uid:\t{image.user}\t{image.user}" in status
        mounts = Path(f"/proc/{process.pid}/mountinfo").read_text().splitlines()
        options = {at.split()[4]: at.split()[5].split(",") for at in mounts}
        assert "ro" in options["/"]
        ask(line.split("gRPC ")[1].split(",")[0].replace("0.0.0.0", "127.0.0.1"))
        healthy(image, port)
        process.send_signal(signal.Signals[image.stop_signal])
        assert process.wait(PATIENCE) == 0


def ask(address: str) -> None:
    """The model answers right."""
    x = triton.InferInput("x", [2, 4], "FP32")
    x.set_data_from_numpy(sample())
    with triton.InferenceServerClient(address) as client:
        found = client.infer("dense", [x])
    assert found is not None
    answer = np.asarray(found.as_numpy("probabilities"), np.float32)
    np.testing.assert_allclose(answer, expected(sample())["probabilities"], rtol=1e-5)


def healthy(image: Image, port: int) -> None:
    """The health check of the image succeeds, and fails where nothing listens."""
    for at, healthy in ((port, True), (1, False)):
        environment = image.environment | {"CORTEX_SERVE_METRICS_PORT": str(at)}
        command = ["chroot", image.root, *image.health]
        done = subprocess.run(command, env=environment, capture_output=True, timeout=PATIENCE)
        assert (done.returncode == 0) == healthy, done.stderr.decode()


@pytest.mark.slow
def test_the_image_is_slim_and_has_what_the_constraints_say(image: Image) -> None:
    files = [at for at in (image.root / "opt/cortex").rglob("*") if not at.is_symlink()]
    assert sum(at.stat().st_size for at in files) < LARGEST
    script = (
        "import importlib.metadata as m\nfor at in m.distributions(): print(at.name, at.version)"
    )
    command = ["chroot", image.root, "/opt/cortex/bin/python", "-c", script]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    installed = {line.lower().replace(" ", "==") for line in done.stdout.splitlines()}
    pinned = (ROOT / "deploy" / "constraints.txt").read_text().lower().split()
    ours = {at for at in installed if at.startswith(("cortex-inference", "setuptools"))}
    assert installed - ours <= set(pinned)
