"""What rtnb needs of a notebook: its front end, its output cells, and the clips that lie beside it."""
