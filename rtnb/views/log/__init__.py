"""The log: every frame, filtered, searched, told in lines and shown."""
