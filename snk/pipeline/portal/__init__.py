"""The pipeline in a browser: both processes, every frame, and what a person may do about those set aside."""
