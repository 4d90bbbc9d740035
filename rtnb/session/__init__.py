"""The session: one owner of everything that is open."""
