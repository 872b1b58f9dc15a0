"""What two or more artatlas stages share: settings, HDF5 contracts, decoding, networks, reductions, metrics."""

__version__ = "0.1.0"
