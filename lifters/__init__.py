"""From features to 3D."""
