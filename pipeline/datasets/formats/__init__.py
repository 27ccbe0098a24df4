"""Files that datasets come in: cameras, markers, pickles, SMPL."""
