"""Training: configuration, data, tasks and the loop."""
