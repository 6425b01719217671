"""A consumer: loads and reconciles the files of tasks when the platform calls it."""
