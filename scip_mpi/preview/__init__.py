"""The preview: a page about a sample of images, to tune masks before a big run."""
