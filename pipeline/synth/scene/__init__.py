"""What is rendered: bodies, rooms, textures, cameras."""
