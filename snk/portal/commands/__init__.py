"""The command ``snk portal``."""
