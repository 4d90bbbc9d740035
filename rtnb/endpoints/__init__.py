"""Endpoints: from what a user names to an address, its headers and its model."""
