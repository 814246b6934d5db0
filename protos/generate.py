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
PROTO = "cortex/serving/pb/open_inference_grpc.proto"  # where protoc is told that the file lies
SHARED, OWN = "_descriptor_pool.Default()", "_descriptor_pool.DescriptorPool()"


def generate(target: Path) -> None:
    """Writes the module and its stub into ``target``."""
    from grpc_tools import protoc

    with tempfile.TemporaryDirectory() as folder:
        arguments = [f"-Icortex/serving/pb={PROTOS}", f"--python_out={folder}"]
        if protoc.main(["protoc", *arguments, f"--pyi_out={folder}", PROTO]):
            raise SystemExit("protoc refused the file")
        for file in sorted((Path(folder) / PROTO).parent.iterdir()):
            text = file.read_text()
            if file.suffix == ".py" and SHARED not in text:
                raise SystemExit(f"{file.name}: protoc no longer writes {SHARED}")
            (target / file.name).write_text(text.replace(SHARED, OWN))


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "serving" / "pb")
