"""What is finished and what is not."""
