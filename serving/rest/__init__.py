"""The Open Inference Protocol over HTTP, and the page of metrics."""
