"""2D joints that were detected elsewhere: files of other projects, read in the place of detector and pose network."""
