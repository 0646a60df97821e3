"""A first config for images that nobody has described yet."""
