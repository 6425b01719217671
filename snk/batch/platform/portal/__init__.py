"""The platform in a browser: tasks, runs, nodes and alerts, why something does not run, and what a person may do."""
