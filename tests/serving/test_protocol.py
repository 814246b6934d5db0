"""Our protocol file against the one every client has compiled in; the generated code against it."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
from tritonclient.grpc import model_config_pb2
from tritonclient.grpc import service_pb2 as theirs

from cortex.serving.pb import open_inference_extensions_pb2 as extensions
from cortex.serving.pb import open_inference_grpc_pb2 as ours
from cortex.serving.rpc.protocol import SERVICE

ROOT = Path(__file__).parents[2]
MESSAGES = sorted(ours.DESCRIPTOR.message_types_by_name)


def fields(message: Any) -> set[tuple[object, ...]]:
    """What the wire depends on, nested messages included."""
    found: set[tuple[object, ...]] = {
        (field.number, field.name, field.type, field.is_repeated, field.has_presence)
        for field in message.fields
    }
    for nested in message.nested_types:
        found |= {(nested.name, *field) for field in fields(nested)}
    return found


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_is_the_one_that_clients_know(name: str) -> None:
    known = theirs.DESCRIPTOR.message_types_by_name[name]
    mine = ours.DESCRIPTOR.message_types_by_name[name]
    assert mine.full_name == known.full_name
    assert fields(mine) == fields(known)


def test_the_service_has_the_six_methods_of_the_protocol() -> None:
    mine = ours.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    known = theirs.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    assert mine.full_name == known.full_name == SERVICE
    assert len(mine.methods) == 6
    for method in mine.methods:
        same = known.methods_by_name[method.name]
        assert method.input_type.full_name == same.input_type.full_name
        assert method.output_type.full_name == same.output_type.full_name


@pytest.mark.parametrize("name", sorted(extensions.DESCRIPTOR.message_types_by_name))
def test_a_message_of_the_extensions_is_part_of_the_one_that_clients_know(name: str) -> None:
    known = next(
        module.DESCRIPTOR.message_types_by_name[name]
        for module in (theirs, model_config_pb2)
        if name in module.DESCRIPTOR.message_types_by_name
    )
    mine = extensions.DESCRIPTOR.message_types_by_name[name]
    assert mine.full_name == known.full_name
    assert fields(mine) <= fields(known)


def test_the_methods_of_the_extensions_are_those_that_clients_know() -> None:
    known = theirs.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    for method in extensions.DESCRIPTOR.services_by_name["GRPCInferenceServiceExtensions"].methods:
        same = known.methods_by_name[method.name]
        assert method.input_type.full_name == same.input_type.full_name
        assert method.output_type.full_name == same.output_type.full_name
        assert method.server_streaming == same.server_streaming
        assert method.client_streaming == same.client_streaming


def test_the_datatypes_of_a_config_are_those_that_clients_know() -> None:
    known = model_config_pb2.DESCRIPTOR.enum_types_by_name["DataType"].values_by_name
    for name, value in extensions.DESCRIPTOR.enum_types_by_name["DataType"].values_by_name.items():
        assert value.number == known[name].number


def test_generating_the_code_again_changes_nothing(tmp_path: Path) -> None:
    runpy.run_path(str(ROOT / "protos" / "generate.py"))["generate"](tmp_path)
    written = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert len(written) == 4
    for name, text in written.items():
        assert (ROOT / "serving" / "pb" / name).read_text() == text
