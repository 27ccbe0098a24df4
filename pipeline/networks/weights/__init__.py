"""A network's weights: where they may lie, fetched, checked, read without running code, fitted."""
