"""From a scene to pixels and exact depth."""
