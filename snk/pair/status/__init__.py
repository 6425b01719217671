"""What the daemon reports to the outside: HTTP, metrics, the service manager."""
