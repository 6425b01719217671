"""What the daemon tells the outside: HTTP, metrics, the service manager."""
