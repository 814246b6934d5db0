"""What importing a large model costs: VGG16 (138 million parameters) with random weights.

    python benchmarks/import.py

Real Keras writes the file. Printed are the time, the peak of anonymous memory and the disk that
`cortex-import` takes (two engines check each other), then what `cortex-serve` takes to be ready,
the check replayed. The limits are 1.5 GB of memory and 1.1 times the weights on disk. Needs the
extra [keras].
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

MEMORY_LIMIT = 1.5e9  # bytes
DISK_LIMIT = 1.1  # times the weights
WRITE = """
import os, sys
os.environ["KERAS_BACKEND"] = "jax"
import keras
keras.applications.VGG16(weights=None).save(sys.argv[1])
"""


def anonymous(process: int) -> int:
    """Anonymous memory of a process in bytes, mapped files excluded; 0 once it is gone."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except (OSError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Anonymous:")), 0)


def watched(command: list[str]) -> tuple[float, int]:
    """Runs a command; returns its seconds and the peak of its anonymous memory in bytes."""
    start, peak = time.monotonic(), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak = max(peak, anonymous(process.pid))
            time.sleep(0.01)
    if process.returncode:
        sys.exit(f"{' '.join(command)}: exit code {process.returncode}")
    return time.monotonic() - start, peak


def served(models: Path) -> tuple[float, int]:
    """Starts a server; returns the seconds until it is ready and its peak of anonymous memory."""
    start, peak = time.monotonic(), 0
    ports = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"]
    command = ["cortex-serve", str(models), *ports]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        os.set_blocking(process.stdout.fileno(), False)
        while not (ready := process.stdout.readline()) and process.poll() is None:
            peak = max(peak, anonymous(process.pid))
            time.sleep(0.01)
        seconds = time.monotonic() - start
        process.terminate()
    if not ready:
        sys.exit("cortex-serve did not get ready")
    return seconds, peak


def size(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def main() -> None:
    """Writes the model, imports it, serves it, prints the table."""
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    console = Console()
    with tempfile.TemporaryDirectory(prefix="cortex-bench-") as folder:
        file, models = Path(folder) / "vgg16.h5", Path(folder) / "models"
        written = subprocess.run(
            [sys.executable, "-c", WRITE, str(file)], capture_output=True, text=True, check=False
        )
        if written.returncode:
            sys.exit(f"real Keras could not write VGG16: {written.stderr.strip().splitlines()[-1]}")
        seconds, memory = watched(["cortex-import", str(file), "--repository", str(models)])
        weights = (models / "vgg16/1/weights.safetensors").stat().st_size
        ready, server = served(models)
        disk = size(models)
    table = Table("VGG16", "measured", "limit", "ratio", title=f"weights {weights / 1e6:.0f} MB")
    table.add_row("import and check", f"{seconds:.1f} s", "", "")
    table.add_row(
        "  peak anonymous memory",
        f"{memory / 1e9:.2f} GB",
        f"{MEMORY_LIMIT / 1e9:.1f} GB",
        f"{memory / MEMORY_LIMIT:.2f}",
    )
    table.add_row(
        "  disk",
        f"{disk / 1e6:.0f} MB",
        f"{DISK_LIMIT} × weights",
        f"{disk / weights / DISK_LIMIT:.2f}",
    )
    table.add_row("server ready, check replayed", f"{ready:.1f} s", "", "")
    table.add_row("  peak anonymous memory", f"{server / 1e9:.2f} GB", "", "")
    console.print(table)


if __name__ == "__main__":
    main()
