"""Serves a model repository over the Open Inference Protocol.

gRPC service.py ─┐                                ┌─ metrics.py
HTTP rest.py    ─┴▶ plane.py ─▶ batcher.py ─▶ engine.py ─ onnxruntime
                      ▲ models.py (what is loaded, and what is ready)
"""
