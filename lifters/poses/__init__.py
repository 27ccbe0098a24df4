"""Predicted 3D poses as files of other programs: a row a format."""
