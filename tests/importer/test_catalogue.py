"""The list of layers is the converters' own, and so is the page that shows it."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from cortex.importer.catalogue import formats
from cortex.importer.cli import main
from cortex.importer.keras.catalogue import as_markdown, layers

PAGE = Path(__file__).parents[2] / "docs" / "keras.md"


def test_the_page_is_the_one_that_make_docs_prints() -> None:
    assert PAGE.read_text("utf-8") == as_markdown(), "run make docs"


def test_options_are_found_where_converters_ask_for_them() -> None:
    found = layers()
    assert found["Conv2D"] == (
        "activation", "data_format", "dilation_rate", "filters", "groups", "kernel_size",
        "padding", "strides", "use_bias",
    )  # fmt: skip
    assert "reset_after" in found["GRU"]
    assert "initial_state" in found["LSTM"]
    assert not found["Flatten"] or found["Flatten"] == ("data_format",)
    assert formats()["thinktopic/cortex"]["max-pooling"] == (
        "dimension-op", "kernel-height", "kernel-width", "pad-x", "pad-y", "pool-op",
        "stride-x", "stride-y",
    )  # fmt: skip


def test_the_command_lists_them() -> None:
    result = CliRunner().invoke(main, ["--list-layers"])
    assert result.exit_code == 0
    parts = [part.splitlines() for part in result.stdout.split("\n\n")]
    found = {title: {line.split()[0] for line in lines} for title, *lines in parts}
    assert found == {title: set(known) for title, known in formats().items()}
    assert found["Keras"] == layers().keys()
    assert {"linear", "max-pooling", "join"} <= found["thinktopic/cortex"]
    names = CliRunner().invoke(main, ["--list-architectures"]).stdout.split()
    assert {"vgg16", "vgg16_notop", "resnet50"} <= set(names)
