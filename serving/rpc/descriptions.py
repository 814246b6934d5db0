"""What reflection tells of the messages and services."""

from __future__ import annotations

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from ..pb import open_inference_extensions_pb2, open_inference_grpc_pb2


def descriptions() -> DescriptorPool:
    """A pool of its own, as our messages are not in the process-wide one."""
    pool = DescriptorPool()
    pool.Add(_protocol())
    for module in (health_pb2, reflection_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    return pool


def _protocol() -> FileDescriptorProto:
    """Both of our files as one, the extensions' methods in the service that they belong to."""
    file, more = FileDescriptorProto(), FileDescriptorProto()
    open_inference_grpc_pb2.DESCRIPTOR.CopyToProto(file)
    open_inference_extensions_pb2.DESCRIPTOR.CopyToProto(more)
    file.message_type.extend(more.message_type)
    file.enum_type.extend(more.enum_type)
    file.service[0].method.extend(more.service[0].method)
    return file
