"""How cortex-serve bears what clients and operators do, at full length: about 40 minutes.

    python benchmarks/reliability.py [-k soak]

The scenarios are those of tests/serving/test_reliability.py, which the tests run in a short form.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from rich import box
from rich.console import Console
from rich.table import Table

SCENARIOS = Path(__file__).parents[1] / "tests" / "serving" / "test_reliability.py"


class Results:
    """Gathers what each scenario tells of itself."""

    def __init__(self) -> None:
        self.table = Table("scenario", "held", "seconds", "figures", box=box.MARKDOWN)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A scenario ended."""
        if report.when != "call":
            return
        told: list[tuple[str, Any]] = report.user_properties
        name = report.nodeid.rpartition("::")[2].removeprefix("test_").replace("_", " ")
        figures = ", ".join(f"{key} {value}" for key, value in told)
        self.table.add_row(name, report.outcome, f"{report.duration:,.0f}", figures)


def main() -> int:
    """Prints the table; 1 if a scenario failed."""
    os.environ["CORTEX_RELIABILITY"] = "full"
    results = Results()
    code = pytest.main([str(SCENARIOS), "-q", "-p", "no:cacheprovider", *sys.argv[1:]], [results])
    Console(width=160).print(results.table)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
