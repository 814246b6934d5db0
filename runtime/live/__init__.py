"""A page that follows a training: curves, mistakes, pictures, layers.

A listener hands over what is new; a server in a thread of its own tells whoever looks. Training
never waits for a reader.
"""
