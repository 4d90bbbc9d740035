"""Static HTML and SVG of what ``rtnb.analysis`` defines: cards, tables, charts, timelines and the report."""
