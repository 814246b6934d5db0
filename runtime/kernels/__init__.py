"""The array work behind the spatial operations: what a layer computes, for NumPy and CuPy alike.

Every function here binds: it is given arrays that exist, takes what else it needs from the frame,
and returns a step that makes no array.
"""
