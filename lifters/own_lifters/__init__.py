"""A user's own lifter: found, loaded, tried, wrapped."""
