"""From video to features."""
