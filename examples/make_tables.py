"""Makes default.csv: invented customers of a bank, and who of them did not pay.

    python examples/make_tables.py [FOLDER]

The file is committed: this is how it came to be. A logistic function of the balance and of being a
student drew the answers, so logistic regression can find it again.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
ROWS = 1000


def main(folder: Path) -> None:
    """Writes the table."""
    rng = np.random.default_rng(0)
    student = rng.random(ROWS) < 0.4
    income = np.where(student, rng.normal(18, 4, ROWS), rng.normal(40, 10, ROWS)).clip(5)
    balance = rng.normal(0.8 + 0.2 * student, 0.5, ROWS).clip(0)
    odds = 10 * balance - 2 * student - 10
    default = rng.random(ROWS) < 1 / (1 + np.exp(-odds))
    names = np.array(["No", "Yes"])
    with (folder / "default.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["student", "balance", "income", "default"])
        for row in zip(names[student * 1], balance, income, names[default * 1], strict=True):
            writer.writerow([row[0], f"{row[1]:.3f}", f"{row[2]:.1f}", row[3]])


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
