"""Feature stores: the format, writing and reading."""
