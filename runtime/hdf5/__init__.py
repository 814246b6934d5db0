"""HDF5 from strangers, for whoever reads it: what is refused, and a process that reads it first.

Of the runtime only this package loads h5py, and nothing loads this package until a file is read.
"""
