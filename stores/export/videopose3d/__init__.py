"""VideoPose3D's npz: for its two loaders, and the cameras that one of them has in its code."""
