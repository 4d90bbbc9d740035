"""``rtnb.connect``, ``rtnb.open`` and ``rtnb.replay``, and the session that they return."""
