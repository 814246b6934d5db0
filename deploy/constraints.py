"""Prints the versions that an image is built with: what pip finds today, for CPU and GPU alike.

make constraints
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

EXTRAS = (
    "cpu,remote,trace",
    "gpu,remote,trace",
)  # each alone: the two onnxruntimes must never meet
OURS = "cortex-inference"


def resolved(extras: str) -> dict[str, str]:
    """The version of each package, by name."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"]
    command += ["--quiet", "--disable-pip-version-check", "--report=-", f".[{extras}]"]
    report: Any = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    found = (each["metadata"] for each in report["install"])
    return {each["name"]: each["version"] for each in found if each["name"] != OURS}


def main() -> None:
    """Prints the constraints."""
    versions = {name: at for extras in EXTRAS for name, at in resolved(extras).items()}
    print("# The versions an image is built with; written by `make constraints`.")
    for name in sorted(versions, key=str.lower):
        print(f"{name}=={versions[name]}")


if __name__ == "__main__":
    main()
