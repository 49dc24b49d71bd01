"""Parts of `tests/endurance/soak`: servers, originals, clients, and figures."""
