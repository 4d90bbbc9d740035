"""The notebook that rtnb runs in: its front end, its output cells, and the clips stored next to it."""
