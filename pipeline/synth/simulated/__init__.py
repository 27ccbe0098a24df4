"""A simulated sensor: joints and depth from the geometry of a clip and stated errors, without pictures or networks."""
