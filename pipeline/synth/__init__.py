"""A rendered world: seeded people who move before a pinhole camera, with exact depth, joints and visibility."""
