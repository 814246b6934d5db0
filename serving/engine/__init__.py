"""onnxruntime: sessions, what they run on, and the proof that they answer right."""
