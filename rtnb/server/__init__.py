"""The server side of the protocol, for the embedded engine, and the process that runs it."""
