"""Hand-off: writes that an HTTP backend missed are replayed from local logs."""
