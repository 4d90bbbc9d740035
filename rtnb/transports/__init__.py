"""Ways to reach a server: each is three methods."""
