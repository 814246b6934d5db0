"""Writes the Python form of the protocol: ``python protos/generate.py [FOLDER]``.

FOLDER is serving/pb/ unless given.

The messages go into a descriptor pool of their own: as protoc writes them they would stand in the
process-wide pool, where a client library that brings the same protocol (tritonclient) collides with
them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
PLACE = "cortex/serving/pb"  # where protoc is told that the files lie
SHARED, OWN = "_descriptor_pool.Default()", "_descriptor_pool.DescriptorPool()"
POOLS = {
    "open_inference_grpc": OWN,
    "open_inference_extensions": (
        f"{PLACE.replace('/', '_dot_')}_dot_open__inference__grpc__pb2.DESCRIPTOR.pool"
    ),
}
"""Each file and the pool of its messages; the extensions speak of the protocol's own."""


def generate(target: Path) -> None:
    """Writes the modules and their stubs into ``target``."""
    from grpc_tools import protoc

    with tempfile.TemporaryDirectory() as folder:
        arguments = [f"-I{PLACE}={PROTOS}", f"--python_out={folder}", f"--pyi_out={folder}"]
        if protoc.main(["protoc", *arguments, *(f"{PLACE}/{name}.proto" for name in POOLS)]):
            raise SystemExit("protoc refused the files")
        for file in sorted((Path(folder) / PLACE).iterdir()):
            text = file.read_text()
            if file.suffix == ".py" and SHARED not in text:
                raise SystemExit(f"{file.name}: protoc no longer writes {SHARED}")
            text = text.replace(SHARED, POOLS[file.stem.removesuffix("_pb2")])
            text = text.replace(f"from {PLACE.replace('/', '.')} import", "from . import")
            (target / file.name).write_text(text)


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "serving" / "pb")
